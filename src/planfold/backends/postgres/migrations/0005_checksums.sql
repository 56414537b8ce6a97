-- Over all that a row says, see planfold/eventstore/recording.py; NULL in rows that are older.
ALTER TABLE planfold.events ADD COLUMN checksum integer;

-- Reads of one event type or of one kind of stream do not scan the log.
CREATE INDEX events_by_type ON planfold.events (event_type, position)
WHERE event_type NOT IN ('TaskDispatched', 'TaskStatusUpdated', 'StepStarted', 'StepRecorded');
CREATE INDEX events_by_kind ON planfold.events (stream_id, position) WHERE stream_id <> 'plan';

-- The writer now says when a decision was made, because the checksum covers it, and of which kind
-- the stream is.
DROP FUNCTION planfold.append;
DROP FUNCTION planfold.append_one;
DROP FUNCTION planfold.explain_refusals;
DROP FUNCTION planfold.feed_page;

-- Any number of decisions in one statement, and so in one transaction. Those that may not be
-- written are told in "refusals"; the others are written all the same.
--
-- Everybody takes locks in the same order, so that no two appends can wait for each other: streams
-- that exist, command ids, rows of the queue, new streams; each group by name. What depends on a
-- lock comes from the locked row itself or from a later statement: at READ COMMITTED a statement
-- sees what was committed before it began.
--
-- A decision may come twice, when its sender has lost the connection before the answer. Then its
-- first event is there, with its receipt, and it counts as written.
--
-- A plan of a statement outlives the table it was made for; without the settings below one made
-- for an almost empty table would go on reading the whole of it when it has grown.
CREATE FUNCTION planfold.append(
    -- One element for each decision; "expected" 0: the stream begins; "decided": when.
    aggregates text[], streams text[], expected bigint[], counts integer[], heads text[],
    dues double precision[], receipts bigint[], decided double precision[],
    -- Their events. "of" is here and below the decision's place in the arrays above, from 1.
    event_of integer[], event_numbers bigint[], event_types text[], event_versions integer[],
    event_data text[], event_metadata text[], event_checksums integer[],
    -- Rows of the queue that may be there: 'fence' (attempt and epoch must match), 'settle',
    -- 'signal'.
    touch_of integer[], touch_tasks bigint[], touch_kinds text[], touch_attempts integer[],
    touch_epochs bigint[],
    -- New rows of the queue; those with an owner are leased to it.
    task_of integer[], task_ids bigint[], task_attempts integer[], task_routes text[],
    task_causes bigint[], task_owners text[], task_cancels boolean[],
    command_of integer[], command_ids text[], command_hashes text[],
    lease_s double precision, strict boolean, clock double precision,
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
    d       integer;
    k       integer;
BEGIN
    at := coalesce(clock, extract(epoch FROM clock_timestamp())::double precision);

    -- One decision that needs no other lock takes its stream's by the UPDATE below.
    IF news < n AND (n > 1 OR touch_of IS NOT NULL OR command_of IS NOT NULL) THEN
        SELECT array_agg(locked.d) INTO held FROM (
            SELECT a.d
            FROM unnest(aggregates, streams, expected) WITH ORDINALITY AS a (id, stream, version, d)
            JOIN planfold.streams s ON s.aggregate_id = a.id AND s.version = a.version
                AND s.stream_id = a.stream
            ORDER BY s.aggregate_id FOR NO KEY UPDATE OF s
        ) locked;
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
        SELECT array_agg(locked.k) FILTER (WHERE locked.kind = 'fence') INTO held FROM (
            SELECT t.k, t.kind
            FROM unnest(touch_of, touch_tasks, touch_kinds, touch_attempts, touch_epochs)
                WITH ORDINALITY AS t (d, task, kind, attempt, epoch, k)
            JOIN planfold.task_queue q ON q.aggregate_id = aggregates[t.d] AND q.task_id = t.task
                AND (t.kind <> 'fence' OR q.attempt = t.attempt AND q.epoch = t.epoch)
            ORDER BY q.aggregate_id, q.task_id FOR UPDATE OF q
        ) locked;
        FOR k IN SELECT t.k FROM unnest(touch_kinds) WITH ORDINALITY AS t (kind, k)
                 WHERE t.kind = 'fence' AND t.k <> ALL (coalesce(held, '{}')) ORDER BY t.k DESC LOOP
            d := touch_of[k];
            refusals := planfold.refuse(refusals, d, 'lease ' || touch_tasks[k] || ' ' || touch_attempts[k], n);
            refused := refused || d;
        END LOOP;
    END IF;

    IF news > 0 THEN
        WITH added AS (
            INSERT INTO planfold.streams (aggregate_id, stream_id, version, head, due_at, created_at, updated_at)
            SELECT a.id, a.stream, a.count, a.head, a.due, a.decided, a.decided
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
        SET version = a.version + a.count, head = a.head, due_at = a.due, updated_at = a.decided
        FROM unnest(aggregates, streams, expected, counts, heads, dues, decided)
            WITH ORDINALITY AS a (id, stream, version, count, head, due, decided, d)
        WHERE s.aggregate_id = a.id AND s.version = a.version AND a.version > 0
          AND s.stream_id = a.stream AND a.d <> ALL (refused);
    ELSIF refused = '{}' THEN
        UPDATE planfold.streams s
        SET version = expected[1] + counts[1], head = heads[1], due_at = dues[1],
            updated_at = decided[1]
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

    IF strict THEN
        PERFORM pg_advisory_xact_lock(8101818972303123570);  -- until the commit: one at a time
    END IF;
    IF cardinality(event_of) = 1 AND n = 1 THEN
        INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type, event_version,
                                     data, metadata, recorded_at, checksum, receipt)
        VALUES (streams[1], aggregates[1], expected[1] + 1, event_types[1], event_versions[1],
                event_data[1], event_metadata[1], decided[1], event_checksums[1], receipts[1])
        RETURNING ARRAY[position] INTO positions;
    ELSE
        WITH added AS (
            INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type,
                                         event_version, data, metadata, recorded_at, checksum,
                                         receipt)
            SELECT streams[e.d], aggregates[e.d], e.number, e.type, e.version, e.data, e.metadata,
                   decided[e.d], e.checksum,
                   CASE e.number WHEN expected[e.d] + 1 THEN receipts[e.d] END
            FROM unnest(event_of, event_numbers, event_types, event_versions, event_data,
                        event_metadata, event_checksums)
                WITH ORDINALITY AS e (d, number, type, version, data, metadata, checksum, k)
            WHERE e.d <> ALL (refused) ORDER BY e.k
            RETURNING position
        ) SELECT array_agg(position) INTO positions FROM added;
    END IF;

    IF touch_of IS NOT NULL THEN
        DELETE FROM planfold.task_queue q USING unnest(touch_of, touch_tasks, touch_kinds) AS t (d, task, kind)
        WHERE q.aggregate_id = aggregates[t.d] AND q.task_id = t.task AND t.kind = 'settle'
          AND t.d <> ALL (refused);
        UPDATE planfold.task_queue q SET cancel = true
        FROM unnest(touch_of, touch_tasks, touch_kinds) AS t (d, task, kind)
        WHERE q.aggregate_id = aggregates[t.d] AND q.task_id = t.task AND t.kind = 'signal'
          AND t.d <> ALL (refused);
    END IF;
    IF task_of IS NOT NULL THEN
        INSERT INTO planfold.task_queue (aggregate_id, task_id, attempt, route, cause, owner, epoch, starts, expires, cancel)
        SELECT aggregates[t.d], t.task, t.attempt, t.route, t.cause, t.owner,
               (t.owner IS NOT NULL)::integer, (t.owner IS NOT NULL)::integer,
               CASE WHEN t.owner IS NOT NULL THEN greatest(at, decided[t.d]) + lease_s END,
               t.cancel
        FROM unnest(task_of, task_ids, task_attempts, task_routes, task_causes, task_owners,
                    task_cancels) WITH ORDINALITY AS t (d, task, attempt, route, cause, owner, cancel, k)
        WHERE t.d <> ALL (refused) ORDER BY t.k;
    END IF;
END
$$;

-- 'written' where the first event carries the decision's receipt. Deciding again would not help
-- where the stream is of another kind ('kind') or its head is not its last event ('corrupt').
CREATE FUNCTION planfold.explain_refusals(
    refusals text[], aggregates text[], streams text[], expected bigint[], counts integer[],
    receipts bigint[]
) RETURNS text[] LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
    d integer;
    head bigint;
    last bigint;
    kind text;
BEGIN
    FOR d IN SELECT r.d FROM unnest(refusals) WITH ORDINALITY AS r (reason, d) WHERE r.reason IS NOT NULL LOOP
        IF EXISTS (SELECT FROM planfold.events WHERE aggregate_id = aggregates[d]
                   AND version = expected[d] + 1 AND receipt = receipts[d]) THEN
            SELECT position INTO last FROM planfold.events
            WHERE aggregate_id = aggregates[d] AND version = expected[d] + counts[d];
            refusals[d] := 'written ' || last;
        ELSIF refusals[d] = 'conflict' THEN
            SELECT coalesce((SELECT s.version FROM planfold.streams s WHERE s.aggregate_id = aggregates[d]), 0),
                   coalesce((SELECT max(e.version) FROM planfold.events e WHERE e.aggregate_id = aggregates[d]), 0),
                   (SELECT s.stream_id FROM planfold.streams s WHERE s.aggregate_id = aggregates[d])
            INTO head, last, kind;
            IF kind <> streams[d] THEN
                refusals[d] := 'kind ' || kind;
            ELSIF head <> last THEN
                refusals[d] := 'corrupt ' || head || ' ' || last;
            END IF;
        END IF;
    END LOOP;
    RETURN refusals;
END
$$;

-- The same for what most appends are: one decision on a stream that exists, which rests on one
-- lease at most. Nothing is written and "last" is NULL where the stream has moved on; nothing is
-- written and it fails with PF001 where the lease is lost. Then planfold.append tells why.
CREATE FUNCTION planfold.append_one(
    aggregate text, stream text, expected bigint, new_head text, due double precision,
    its_receipt bigint, decided double precision,
    event_types text[], event_versions integer[], event_data text[], event_metadata text[],
    event_checksums integer[],
    -- The lease, and whether its row leaves the queue; NULL: there is none.
    its_task bigint, its_attempt integer, its_epoch integer, settled boolean,
    -- New rows of the queue, as in planfold.append.
    task_ids bigint[], task_attempts integer[], task_routes text[], task_causes bigint[],
    task_owners text[],
    lease_s double precision, strict boolean, clock double precision,
    OUT last bigint, OUT at double precision
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET lock_timeout = '5s'
AS $$
DECLARE
    n integer := cardinality(event_types);
BEGIN
    at := coalesce(clock, extract(epoch FROM clock_timestamp())::double precision);
    UPDATE planfold.streams
    SET version = expected + n, head = new_head, due_at = due, updated_at = decided
    WHERE aggregate_id = aggregate AND version = expected AND stream_id = stream;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    IF settled THEN
        DELETE FROM planfold.task_queue
        WHERE aggregate_id = aggregate AND task_id = its_task AND attempt = its_attempt
          AND epoch = its_epoch;
    ELSIF its_task IS NOT NULL THEN
        PERFORM FROM planfold.task_queue
        WHERE aggregate_id = aggregate AND task_id = its_task AND attempt = its_attempt
          AND epoch = its_epoch
        FOR UPDATE;
    END IF;
    IF its_task IS NOT NULL AND NOT FOUND THEN
        RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'PF001';
    END IF;

    IF strict THEN
        PERFORM pg_advisory_xact_lock(8101818972303123570);
    END IF;
    IF n = 1 THEN
        INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type, event_version,
                                     data, metadata, recorded_at, checksum, receipt)
        VALUES (stream, aggregate, expected + 1, event_types[1], event_versions[1], event_data[1],
                event_metadata[1], decided, event_checksums[1], its_receipt)
        RETURNING position INTO last;
    ELSE
        WITH added AS (
            INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type,
                                         event_version, data, metadata, recorded_at, checksum,
                                         receipt)
            SELECT stream, aggregate, expected + e.k, e.type, e.version, e.data, e.metadata,
                   decided, e.checksum, CASE e.k WHEN 1 THEN its_receipt END
            FROM unnest(event_types, event_versions, event_data, event_metadata, event_checksums)
                WITH ORDINALITY AS e (type, version, data, metadata, checksum, k)
            ORDER BY e.k
            RETURNING position
        ) SELECT max(position) INTO last FROM added;
    END IF;

    IF task_ids IS NOT NULL THEN
        INSERT INTO planfold.task_queue (aggregate_id, task_id, attempt, route, cause, owner,
                                         epoch, starts, expires, cancel)
        SELECT aggregate, t.task, t.attempt, t.route, t.cause, t.owner,
               (t.owner IS NOT NULL)::integer, (t.owner IS NOT NULL)::integer,
               CASE WHEN t.owner IS NOT NULL THEN greatest(at, decided) + lease_s END, false
        FROM unnest(task_ids, task_attempts, task_routes, task_causes, task_owners)
            WITH ORDINALITY AS t (task, attempt, route, cause, owner, k)
        ORDER BY t.k;
    END IF;
END
$$;

-- The first matching events in after < position <= upto; "upto" NULL: without a limit, "most" NULL:
-- all of them. Each filter has its index.
CREATE FUNCTION planfold.feed_page(
    after bigint, upto bigint, stream text, type text, aggregate text, most bigint
) RETURNS SETOF planfold.events
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
BEGIN
    upto := coalesce(upto, 9223372036854775807);
    IF aggregate IS NULL AND type NOT IN ('TaskDispatched', 'TaskStatusUpdated', 'StepStarted', 'StepRecorded') THEN
        RETURN QUERY SELECT * FROM planfold.events
        WHERE event_type = type AND position > after AND position <= upto
          AND event_type NOT IN ('TaskDispatched', 'TaskStatusUpdated', 'StepStarted', 'StepRecorded')
          AND (stream IS NULL OR stream_id = stream)
        ORDER BY event_type, position LIMIT most;
    ELSIF aggregate IS NULL AND type IS NULL AND stream <> 'plan' THEN
        RETURN QUERY SELECT * FROM planfold.events
        WHERE stream_id = stream AND position > after AND position <= upto AND stream_id <> 'plan'
        ORDER BY stream_id, position LIMIT most;
    ELSIF aggregate IS NULL THEN
        RETURN QUERY SELECT * FROM planfold.events
        WHERE position > after AND position <= upto
          AND (stream IS NULL OR stream_id = stream) AND (type IS NULL OR event_type = type)
        ORDER BY position LIMIT most;
    ELSE
        RETURN QUERY SELECT * FROM planfold.events
        WHERE aggregate_id = aggregate AND position > after AND position <= upto
          AND (stream IS NULL OR stream_id = stream) AND (type IS NULL OR event_type = type)
        ORDER BY version LIMIT most;
    END IF;
END
$$;
