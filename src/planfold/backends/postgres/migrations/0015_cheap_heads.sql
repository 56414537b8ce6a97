-- What the head of a stream says is found by the statements that write it: for columns that are generated, the server reads the
-- expressions again each time. And planfold.append_one begins streams too.
ALTER TABLE planfold.streams ALTER COLUMN status DROP EXPRESSION, ALTER COLUMN project DROP EXPRESSION, ALTER COLUMN tags DROP EXPRESSION,
    ALTER COLUMN project SET DEFAULT 'default';

-- What a head says, found as text: quicker than JSON, and right for any that planfold writes.
CREATE FUNCTION planfold.status_of(head text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(split_part(split_part(head, '"status":"', 2), '"', 1), '')
$$;
CREATE FUNCTION planfold.project_of(head text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(nullif(split_part(split_part(head, '"project":"', 2), '"', 1), ''), 'default')
$$;
CREATE FUNCTION planfold.tags_of(head text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(split_part(split_part(head, '"tags":[', 2), ']', 1), '')
$$;

CREATE OR REPLACE FUNCTION planfold.append(
    -- One element for each decision; "expected" 0: the stream begins; "decided": when.
    aggregates text[], streams text[], expected bigint[], counts integer[], heads text[],
    dues double precision[], receipts bigint[], decided double precision[],
    -- Their events. "of" is here and below the decision's place in the arrays above, from 1.
    event_of integer[], event_numbers bigint[], event_types text[], event_versions integer[],
    event_data text[], event_metadata text[], event_checksums integer[],
    event_times double precision[],  -- NULL: all at the time of their decision
    -- Rows of the queue that may be there: 'fence', 'settle', 'signal'. Where there is an attempt,
    -- it and the epoch must match.
    touch_of integer[], touch_tasks bigint[], touch_kinds text[], touch_attempts integer[],
    touch_epochs bigint[],
    -- New rows of the queue; those with an owner are leased to it, the others are counted by
    -- "ranks", from 1 in each decision.
    task_of integer[], task_ids bigint[], task_attempts integer[], task_routes text[],
    task_causes bigint[], task_owners text[], task_cancels boolean[], task_tools text[],
    task_priorities integer[], task_ranks integer[], task_limits text[],
    command_of integer[], command_ids text[], command_hashes text[],
    lease_s double precision, clock double precision,
    OUT positions bigint[],  -- of the events that were written, in order
    OUT refusals text[],     -- by decision, NULL for those that were written; NULL: all were
    OUT at double precision  -- the clock
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET lock_timeout = '5s'
AS $$
DECLARE
    n       integer   := cardinality(aggregates);
    news    integer   := cardinality(array_positions(expected, 0));
    refused integer[] := '{}';
    held    integer[];
    noted   text[];
    begun   text[];
    grave   text;
    frees   integer[] := '{}';  -- by decision: rows of the queue without an owner,
    firsts  bigint[]  := '{}';  -- the first turn that they may have,
    befores bigint[]  := '{}';  -- and the turn before theirs
    turn    bigint;
    d       integer;
    k       integer;
BEGIN
    at := coalesce(clock, extract(epoch FROM clock_timestamp())::double precision);

    IF array_position(task_owners, NULL) IS NOT NULL THEN
        FOR d, k, turn IN
            WITH entering AS (
                SELECT t.d, t.priority, t.route, t.tool, t.limits, count(*) AS n
                FROM unnest(task_of, task_priorities, task_routes, task_tools, task_limits, task_ranks)
                    AS t (d, priority, route, tool, limits, rank)
                WHERE t.rank > 0 GROUP BY t.d, t.priority, t.route, t.tool, t.limits
            ), lanes AS MATERIALIZED (
                SELECT l.priority, l.route, l.tool, l.limits,
                       planfold.first_turn(l.priority, l.route, l.tool, l.limits) AS first
                FROM (SELECT DISTINCT priority, route, tool, limits FROM entering) l
            )
            SELECT e.d, sum(e.n)::integer, min(l.first)
            FROM entering e JOIN lanes l USING (priority, route, tool, limits) GROUP BY e.d
        LOOP
            frees[d] := k;
            firsts[d] := turn;
        END LOOP;
    END IF;

    -- One decision that needs no other lock takes its stream's by the UPDATE below.
    IF news < n AND (n > 1 OR touch_of IS NOT NULL OR command_of IS NOT NULL) THEN
        IF n = 1 THEN
            SELECT '{1}' INTO held FROM planfold.streams s
            WHERE s.aggregate_id = aggregates[1] AND s.version = expected[1]
              AND s.stream_id = streams[1] FOR NO KEY UPDATE;
        ELSE
            SELECT array_agg(locked.d) INTO held FROM (
                SELECT a.d
                FROM unnest(aggregates, streams, expected) WITH ORDINALITY AS a (id, stream, version, d)
                JOIN planfold.streams s ON s.aggregate_id = a.id AND s.version = a.version
                    AND s.stream_id = a.stream
                ORDER BY s.aggregate_id FOR NO KEY UPDATE OF s
            ) locked;
        END IF;
        IF cardinality(held) IS DISTINCT FROM n - news THEN
            FOR d IN 1..n LOOP
                IF expected[d] > 0 AND d <> ALL (coalesce(held, '{}')) THEN
                    refusals := planfold.refuse(refusals, d, 'conflict', n);
                    refused := refused || d;
                END IF;
            END LOOP;
        END IF;
    END IF;

    IF command_of IS NOT NULL THEN
        WITH added AS (
            INSERT INTO planfold.commands (command_id, aggregate_id, body_hash, version, recorded_at)
            SELECT c.id, aggregates[c.d], c.hash, expected[c.d] + counts[c.d], decided[c.d]
            FROM unnest(command_of, command_ids, command_hashes) AS c (d, id, hash)
            WHERE c.d <> ALL (refused) ORDER BY c.id COLLATE "C"
            ON CONFLICT DO NOTHING RETURNING command_id
        ) SELECT array_agg(command_id) INTO noted FROM added;
        FOR k IN 1..cardinality(command_of) LOOP
            d := command_of[k];
            IF d <> ALL (refused) AND command_ids[k] <> ALL (coalesce(noted, '{}')) THEN
                refusals := planfold.refuse(refusals, d, 'command ' || command_ids[k], n);
                refused := refused || d;
            END IF;
        END LOOP;
    END IF;

    IF touch_of IS NOT NULL THEN
        SELECT array_agg(locked.k) INTO held FROM (
            SELECT t.k
            FROM unnest(touch_of, touch_tasks, touch_attempts, touch_epochs)
                WITH ORDINALITY AS t (d, task, attempt, epoch, k)
            JOIN planfold.task_queue q ON q.aggregate_id = aggregates[t.d] AND q.task_id = t.task
                AND (t.attempt IS NULL OR q.attempt = t.attempt AND q.epoch = t.epoch)
            ORDER BY q.aggregate_id, q.task_id FOR UPDATE OF q
        ) locked;
        IF cardinality(held) IS DISTINCT FROM cardinality(touch_of) THEN
            FOR k IN REVERSE cardinality(touch_of)..1 LOOP
                IF touch_attempts[k] IS NOT NULL AND k <> ALL (coalesce(held, '{}')) THEN
                    d := touch_of[k];
                    refusals := planfold.refuse(refusals, d, 'lease ' || touch_tasks[k] || ' ' || touch_attempts[k], n);
                    refused := refused || d;
                END IF;
            END LOOP;
        END IF;
    END IF;

    IF news > 0 THEN
        WITH added AS (
            INSERT INTO planfold.streams (aggregate_id, stream_id, version, head, due_at, created_at, updated_at, turn,
                                          status, project, tags)
            SELECT a.id, a.stream, a.count, a.head, a.due, a.decided, a.decided,
                   coalesce(firsts[a.d] - 1 + frees[a.d], 0),
                   planfold.status_of(a.head), planfold.project_of(a.head), planfold.tags_of(a.head)
            FROM unnest(aggregates, streams, expected, counts, heads, dues, decided)
                WITH ORDINALITY AS a (id, stream, version, count, head, due, decided, d)
            WHERE a.version = 0 AND a.d <> ALL (refused) ORDER BY a.id COLLATE "C"
            ON CONFLICT DO NOTHING RETURNING aggregate_id
        ) SELECT array_agg(aggregate_id) INTO begun FROM added;
        FOR d IN 1..n LOOP
            IF expected[d] = 0 AND d <> ALL (refused) AND aggregates[d] <> ALL (coalesce(begun, '{}')) THEN
                refusals := planfold.refuse(refusals, d, 'conflict', n);
                refused := refused || d;
            END IF;
        END LOOP;
        FOR d, grave IN SELECT a.d, row_to_json(t) FROM unnest(aggregates) WITH ORDINALITY AS a (id, d)
                        JOIN planfold.tombstones t ON t.aggregate_id = a.id
                        WHERE expected[a.d] = 0 LOOP
            refusals := planfold.refuse(refusals, d, 'archived ' || grave, n);
            refused := refused || d;
        END LOOP;
    END IF;

    IF news = n THEN
        NULL;
    ELSIF n > 1 THEN
        UPDATE planfold.streams s
        SET version = a.version + a.count, head = a.head, due_at = a.due, updated_at = a.decided,
            turn = coalesce(greatest(s.turn, firsts[a.d] - 1) + frees[a.d], s.turn),
            status = planfold.status_of(a.head), project = planfold.project_of(a.head), tags = planfold.tags_of(a.head)
        FROM unnest(aggregates, streams, expected, counts, heads, dues, decided)
            WITH ORDINALITY AS a (id, stream, version, count, head, due, decided, d)
        WHERE s.aggregate_id = a.id AND s.version = a.version AND a.version > 0
          AND s.stream_id = a.stream AND a.d <> ALL (refused);
    ELSIF refused = '{}' THEN
        UPDATE planfold.streams s
        SET version = expected[1] + counts[1], head = heads[1], due_at = dues[1],
            updated_at = decided[1],
            turn = coalesce(greatest(s.turn, firsts[1] - 1) + frees[1], s.turn),
            status = planfold.status_of(heads[1]), project = planfold.project_of(heads[1]), tags = planfold.tags_of(heads[1])
        WHERE s.aggregate_id = aggregates[1] AND s.version = expected[1]
          AND s.stream_id = streams[1];
        IF NOT FOUND THEN
            refusals := ARRAY['conflict'];
            refused := ARRAY[1];
        END IF;
    END IF;

    IF refused <> '{}' THEN
        refusals := planfold.explain_refusals(
            refusals, aggregates, streams, expected, counts, receipts
        );
        DELETE FROM planfold.commands WHERE command_id IN (
            SELECT c.id FROM unnest(command_of, command_ids) AS c (d, id)
            WHERE c.d = ANY (refused) AND c.id = ANY (noted)
        );
        DELETE FROM planfold.streams WHERE aggregate_id IN (
            SELECT aggregates[r.d] FROM unnest(refused) AS r (d) WHERE aggregates[r.d] = ANY (begun)
        );
        IF n = 1 THEN
            RETURN;
        END IF;
    END IF;

    IF cardinality(event_of) = 1 AND n = 1 THEN
        INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type, event_version,
                                     data, metadata, recorded_at, checksum, receipt)
        VALUES (streams[1], aggregates[1], expected[1] + 1, event_types[1], event_versions[1],
                event_data[1], event_metadata[1], coalesce(event_times[1], decided[1]),
                event_checksums[1], receipts[1])
        RETURNING ARRAY[position] INTO positions;
    ELSE
        WITH added AS (
            INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type,
                                         event_version, data, metadata, recorded_at, checksum,
                                         receipt)
            SELECT streams[e.d], aggregates[e.d], e.number, e.type, e.version, e.data, e.metadata,
                   coalesce(e.at, decided[e.d]), e.checksum,
                   CASE e.number WHEN expected[e.d] + 1 THEN receipts[e.d] END
            FROM unnest(event_of, event_numbers, event_types, event_versions, event_data,
                        event_metadata, event_checksums, event_times)
                WITH ORDINALITY AS e (d, number, type, version, data, metadata, checksum, at, k)
            WHERE e.d <> ALL (refused) ORDER BY e.k
            RETURNING position
        ) SELECT array_agg(position) INTO positions FROM added;
    END IF;

    IF 'settle' = ANY (touch_kinds) THEN
        DELETE FROM planfold.task_queue q USING unnest(touch_of, touch_tasks, touch_kinds) AS t (d, task, kind)
        WHERE q.aggregate_id = aggregates[t.d] AND q.task_id = t.task AND t.kind = 'settle'
          AND t.d <> ALL (refused);
    END IF;
    IF 'signal' = ANY (touch_kinds) THEN
        -- What waits and is to stop needs no place: a worker takes it to end it.
        UPDATE planfold.task_queue q
        SET cancel = true, limits = CASE WHEN q.owner IS NULL THEN '' ELSE q.limits END
        FROM unnest(touch_of, touch_tasks, touch_kinds) AS t (d, task, kind)
        WHERE q.aggregate_id = aggregates[t.d] AND q.task_id = t.task AND t.kind = 'signal'
          AND t.d <> ALL (refused);
    END IF;
    IF task_of IS NOT NULL THEN
        IF frees <> '{}' THEN
            FOR d, turn IN SELECT a.d, s.turn FROM unnest(aggregates) WITH ORDINALITY AS a (id, d)
                           JOIN planfold.streams s ON s.aggregate_id = a.id
                           WHERE frees[a.d] IS NOT NULL LOOP
                befores[d] := turn - frees[d];
            END LOOP;
        END IF;
        INSERT INTO planfold.task_queue (aggregate_id, task_id, attempt, route, cause, owner, epoch, starts, expires, cancel,
                                         tool, priority, limits, turn, claimed_at, started_at)
        SELECT aggregates[t.d], t.task, t.attempt, t.route, t.cause, t.owner,
               (t.owner IS NOT NULL)::integer, (t.owner IS NOT NULL)::integer,
               CASE WHEN t.owner IS NOT NULL THEN greatest(at, decided[t.d]) + lease_s END,
               t.cancel, t.tool, t.priority, t.limits, coalesce(befores[t.d] + t.rank, 0),
               CASE WHEN t.owner IS NOT NULL THEN greatest(at, decided[t.d]) END,
               CASE WHEN t.owner IS NOT NULL THEN greatest(at, decided[t.d]) END
        FROM unnest(task_of, task_ids, task_attempts, task_routes, task_causes, task_owners,
                    task_cancels, task_tools, task_priorities, task_ranks, task_limits)
            WITH ORDINALITY AS t (d, task, attempt, route, cause, owner, cancel, tool, priority, rank, limits, k)
        WHERE t.d <> ALL (refused) ORDER BY t.k;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION planfold.append_one(
    aggregate text, stream text, expected bigint, count integer, new_head text,
    due double precision, its_receipt bigint, decided double precision,
    type_1 text, version_1 integer, data_1 text, metadata_1 text, checksum_1 integer,
    type_2 text, version_2 integer, data_2 text, metadata_2 text, checksum_2 integer,
    event_types text[], event_versions integer[], event_data text[], event_metadata text[],
    event_checksums integer[],
    event_times double precision[],  -- of all of them; NULL: all at "decided"
    -- The lease, and whether its row leaves the queue; NULL: there is none.
    its_task bigint, its_attempt integer, its_epoch bigint, settled boolean,
    -- New rows of the queue, as in planfold.append; "frees" of them have no owner.
    frees integer,
    new_task bigint, new_attempt integer, new_route text, new_cause bigint, new_owner text,
    new_tool text, new_priority integer,
    task_ids bigint[], task_attempts integer[], task_routes text[], task_causes bigint[],
    task_owners text[], task_tools text[], task_priorities integer[], task_ranks integer[],
    lease_s double precision, clock double precision,
    OUT last bigint, OUT at double precision
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET lock_timeout = '5s'
AS $$
DECLARE
    lease_at double precision;
    first    bigint;  -- the first turn that rows without an owner may have,
    before   bigint;  -- and the turn before theirs
BEGIN
    at := coalesce(clock, extract(epoch FROM clock_timestamp())::double precision);
    IF frees = 1 AND new_owner IS NULL THEN  -- the same, but quicker
        SELECT turn INTO first FROM planfold.task_queue
        WHERE owner IS NULL AND route = new_route AND tool = new_tool AND limits = ''
          AND priority = new_priority
        ORDER BY turn LIMIT 1;
        IF first IS NULL THEN
            first := planfold.first_turn(new_priority, new_route, new_tool, '');
        END IF;
    ELSIF frees > 0 THEN
        SELECT min(planfold.first_turn(l.priority, l.route, l.tool, '')) INTO first FROM (
            SELECT new_priority AS priority, new_route AS route, new_tool AS tool
            WHERE new_owner IS NULL
            UNION
            SELECT t.priority, t.route, t.tool
            FROM unnest(task_priorities, task_routes, task_tools, task_ranks)
                AS t (priority, route, tool, rank)
            WHERE t.rank > 0
        ) l;
    END IF;
    IF expected > 0 THEN
        UPDATE planfold.streams
        SET version = expected + count, head = new_head, due_at = due, updated_at = decided,
            turn = greatest(turn, first - 1) + frees,
            status = planfold.status_of(new_head), project = planfold.project_of(new_head), tags = planfold.tags_of(new_head)
        WHERE aggregate_id = aggregate AND version = expected AND stream_id = stream
        RETURNING turn - frees INTO before;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    ELSE
        INSERT INTO planfold.streams
            (aggregate_id, stream_id, version, head, due_at, created_at, updated_at, turn,
             status, project, tags)
        VALUES (aggregate, stream, count, new_head, due, decided, decided,
                coalesce(first - 1 + frees, 0),
                planfold.status_of(new_head), planfold.project_of(new_head), planfold.tags_of(new_head))
        ON CONFLICT DO NOTHING RETURNING turn - frees INTO before;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        PERFORM FROM planfold.tombstones WHERE aggregate_id = aggregate;
        IF FOUND THEN
            RAISE EXCEPTION 'the stream is archived' USING ERRCODE = 'PF001';
        END IF;
    END IF;

    IF its_task IS NOT NULL THEN
        IF settled THEN
            DELETE FROM planfold.task_queue
            WHERE aggregate_id = aggregate AND task_id = its_task AND attempt = its_attempt
              AND epoch = its_epoch;
        ELSE
            PERFORM FROM planfold.task_queue
            WHERE aggregate_id = aggregate AND task_id = its_task AND attempt = its_attempt
              AND epoch = its_epoch
            FOR UPDATE;
        END IF;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'PF001';
        END IF;
    END IF;

    INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type, event_version,
                                 data, metadata, recorded_at, checksum, receipt)
    VALUES (stream, aggregate, expected + 1, type_1, version_1, data_1, metadata_1,
            coalesce(event_times[1], decided), checksum_1, its_receipt)
    RETURNING position INTO last;
    IF count > 1 THEN
        INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type, event_version,
                                     data, metadata, recorded_at, checksum)
        VALUES (stream, aggregate, expected + 2, type_2, version_2, data_2, metadata_2,
                coalesce(event_times[2], decided), checksum_2)
        RETURNING position INTO last;
        IF count > 2 THEN
            WITH added AS (
                INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type,
                                             event_version, data, metadata, recorded_at, checksum)
                SELECT stream, aggregate, expected + 2 + e.k, e.type, e.version, e.data, e.metadata,
                       coalesce(event_times[2 + e.k], decided), e.checksum
                FROM unnest(event_types, event_versions, event_data, event_metadata, event_checksums)
                    WITH ORDINALITY AS e (type, version, data, metadata, checksum, k)
                ORDER BY e.k
                RETURNING position
            ) SELECT max(position) INTO last FROM added;
        END IF;
    END IF;

    IF new_task IS NOT NULL THEN
        lease_at := greatest(at, decided);
        INSERT INTO planfold.task_queue (aggregate_id, task_id, attempt, route, cause, owner,
                                         epoch, starts, expires, tool, priority, turn,
                                         claimed_at, started_at)
        VALUES (aggregate, new_task, new_attempt, new_route, new_cause, new_owner,
                (new_owner IS NOT NULL)::integer, (new_owner IS NOT NULL)::integer,
                CASE WHEN new_owner IS NOT NULL THEN lease_at + lease_s END, new_tool,
                new_priority, CASE WHEN new_owner IS NULL THEN before + 1 ELSE 0 END,
                CASE WHEN new_owner IS NOT NULL THEN lease_at END,
                CASE WHEN new_owner IS NOT NULL THEN lease_at END);
        IF task_ids IS NOT NULL THEN
            INSERT INTO planfold.task_queue (aggregate_id, task_id, attempt, route, cause, owner,
                                             epoch, starts, expires, tool, priority, turn,
                                             claimed_at, started_at)
            SELECT aggregate, t.task, t.attempt, t.route, t.cause, t.owner,
                   (t.owner IS NOT NULL)::integer, (t.owner IS NOT NULL)::integer,
                   CASE WHEN t.owner IS NOT NULL THEN lease_at + lease_s END, t.tool, t.priority,
                   coalesce(before + t.rank, 0),
                   CASE WHEN t.owner IS NOT NULL THEN lease_at END,
                   CASE WHEN t.owner IS NOT NULL THEN lease_at END
            FROM unnest(task_ids, task_attempts, task_routes, task_causes, task_owners, task_tools,
                        task_priorities, task_ranks)
                WITH ORDINALITY AS t (task, attempt, route, cause, owner, tool, priority, rank, k)
            ORDER BY t.k;
        END IF;
    END IF;
END
$$;
