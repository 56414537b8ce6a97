-- planfold.append_one begins streams too.
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
            turn = greatest(turn, first - 1) + frees
        WHERE aggregate_id = aggregate AND version = expected AND stream_id = stream
        RETURNING turn - frees INTO before;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    ELSE
        INSERT INTO planfold.streams
            (aggregate_id, stream_id, version, head, due_at, created_at, updated_at, turn)
        VALUES (aggregate, stream, count, new_head, due, decided, decided,
                coalesce(first - 1 + frees, 0))
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
