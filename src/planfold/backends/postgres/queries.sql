-- name: append
-- Columns, because asyncpg does not know the types in a record before it has asked for them; texts,
-- so that it need not ask.
SELECT a.positions::text, a.refusals, a.at FROM planfold.append(
    $1::text::text[], $2::text::text[], $3::text::bigint[], $4::text::integer[], $5,
    $6::text::double precision[], $7::text::bigint[], $8::text::double precision[],
    $9::text::integer[], $10::text::bigint[], $11::text::text[], $12::text::integer[], $13,
    $14::text::text[], $15::text::integer[], $16::text::double precision[], $17::text::integer[],
    $18::text::bigint[], $19::text::text[], $20::text::integer[], $21::text::bigint[],
    $22::text::integer[], $23::text::bigint[], $24::text::integer[], $25::text::text[],
    $26::text::bigint[], $27::text::text[], $28::text::boolean[], $29::text::text[],
    $30::text::integer[], $31::text::integer[], $32::text::text[], $33::text::integer[],
    $34::text::text[], $35::text::text[], $36, $37
) AS a
-- name: append_one
SELECT planfold.append_one(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19::text::text[],
    $20::text::integer[], $21, $22::text::text[], $23::text::integer[],
    $24::text::double precision[], $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36,
    $37::text::bigint[], $38::text::integer[], $39::text::text[], $40::text::bigint[],
    $41::text::text[], $42::text::text[], $43::text::integer[], $44::text::integer[], $45, $46
)
-- name: clock
SELECT extract(epoch FROM clock_timestamp())::double precision
-- name: schema
SELECT to_regnamespace('planfold') IS NOT NULL, to_regclass('planfold.migrations') IS NOT NULL,
       EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('planfold')::oid)
-- name: may_create_schema
SELECT has_database_privilege(current_database(), 'CREATE'), quote_ident(current_database()),
       quote_ident(current_user)
-- name: create_migrations
CREATE TABLE planfold.migrations (
    number     integer PRIMARY KEY,
    name       text             NOT NULL,
    applied_at double precision NOT NULL
)
-- name: schema_version
SELECT coalesce(max(number), 0) FROM planfold.migrations
-- name: lock_heads
LOCK TABLE planfold.streams IN SHARE ROW EXCLUSIVE MODE
-- name: fill_heads
UPDATE planfold.streams s SET status = n.status, project = n.project, tags = n.tags
FROM (SELECT aggregate_id, planfold.status_of(head) AS status, planfold.project_of(head) AS project,
             planfold.tags_of(head) AS tags FROM planfold.streams) n
WHERE n.aggregate_id = s.aggregate_id
  AND (s.status, s.project, s.tags) IS DISTINCT FROM (n.status, n.project, n.tags)
-- name: lock_schema
SELECT pg_advisory_xact_lock(8101818972303123571)
-- name: add_migration
INSERT INTO planfold.migrations (number, name, applied_at)
VALUES ($1, $2, extract(epoch FROM clock_timestamp()))
-- name: add_identity
INSERT INTO planfold.meta (key, value)
VALUES ('store_id', $1), ('created_at', (extract(epoch FROM clock_timestamp())::double precision)::text)
-- name: meta
SELECT key, value FROM planfold.meta
-- name: raise_epoch
UPDATE planfold.meta SET value = (value::bigint + 1)::text WHERE key = 'epoch' RETURNING value::bigint
-- name: find_command
SELECT aggregate_id, body_hash FROM planfold.commands WHERE command_id = $1
-- name: claim
-- Free rows are in lanes, one for each route, tool and set of limits, so that a claim skips rows
-- that its worker cannot run without reading them. $10: no suspects, which are rows that
-- two owners have lost. Where rows under limits are among those that it may take, it takes nothing
-- and says so ("limited"): then the statement "claim_limited" does.
WITH RECURSIVE clock AS MATERIALIZED (
    SELECT coalesce($2, extract(epoch FROM clock_timestamp())::double precision) AS at
), lanes AS (
    (SELECT route, tool, limits FROM planfold.task_queue WHERE owner IS NULL
     ORDER BY route, tool, limits LIMIT 1)
    UNION ALL
    SELECT n.route, n.tool, n.limits FROM lanes l CROSS JOIN LATERAL (
        SELECT q.route, q.tool, q.limits FROM planfold.task_queue q
        WHERE q.owner IS NULL AND (q.route, q.tool, q.limits) > (l.route, l.tool, l.limits)
        ORDER BY q.route, q.tool, q.limits LIMIT 1
    ) n
), under AS MATERIALIZED (
    SELECT EXISTS (
        SELECT FROM lanes l WHERE l.limits <> ''
          AND ($8::text[] IS NULL OR l.route = ANY ($8)) AND l.tool <> ALL ($5::text[])
    ) OR coalesce((
        SELECT min(expires) FROM planfold.task_queue WHERE owner IS NOT NULL AND limits <> ''
    ) < (SELECT at FROM clock), false) AS limited
), shares AS (  -- how many of the first rows are in each lane: no more are locked
    SELECT f.route, f.tool, count(*) AS rows FROM (
        SELECT l.route, l.tool FROM lanes l CROSS JOIN LATERAL (
            SELECT id, priority, turn FROM planfold.task_queue q
            WHERE q.owner IS NULL AND q.route = l.route AND q.tool = l.tool AND q.limits = ''
              AND ($9::text IS NULL OR aggregate_id = $9 OR (aggregate_id > $9 || '.' AND aggregate_id < $9 || '/')) AND aggregate_id <> ALL ($6::text[])
              AND (crashes <= 1 OR NOT $10)
            ORDER BY priority DESC, turn, id LIMIT $4
        ) f
        WHERE l.limits = '' AND NOT (SELECT limited FROM under)
          AND ($8::text[] IS NULL OR l.route = ANY ($8)) AND l.tool <> ALL ($5::text[])
          AND NOT ($10::boolean AND EXISTS (
              SELECT FROM planfold.task_queue WHERE owner = $1 AND crashes > 1
          ))
        ORDER BY f.priority DESC, f.turn, f.id LIMIT $4
    ) f GROUP BY f.route, f.tool
), free AS (
    SELECT f.id, f.priority, f.turn FROM shares s CROSS JOIN LATERAL (
        SELECT id, priority, turn FROM planfold.task_queue q
        WHERE q.owner IS NULL AND q.route = s.route AND q.tool = s.tool AND q.limits = ''
          AND ($9::text IS NULL OR aggregate_id = $9 OR (aggregate_id > $9 || '.' AND aggregate_id < $9 || '/')) AND aggregate_id <> ALL ($6::text[])
          AND (crashes <= 1 OR NOT $10)
        ORDER BY priority DESC, turn, id LIMIT s.rows FOR UPDATE SKIP LOCKED
    ) f
), lost AS (
    SELECT id, priority, turn FROM planfold.task_queue
    WHERE owner IS NOT NULL AND owner <> $1 AND expires < (SELECT at FROM clock) AND (crashes = 0 OR NOT $10)
      AND NOT (SELECT limited FROM under)
      AND ($8::text[] IS NULL OR route = ANY ($8)) AND tool <> ALL ($5::text[])
      AND ($9::text IS NULL OR aggregate_id = $9 OR (aggregate_id > $9 || '.' AND aggregate_id < $9 || '/')) AND aggregate_id <> ALL ($6::text[])
    ORDER BY priority DESC, turn, id LIMIT $4 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE planfold.task_queue
    SET owner = $1, epoch = epoch + 1, starts = starts + 1, claim = $7,
        crashes = crashes + (owner IS NOT NULL)::integer,
        expires = (SELECT at FROM clock) + $3, claimed_at = (SELECT at FROM clock),
        started_at = CASE WHEN starts = 0 THEN (SELECT at FROM clock) ELSE started_at END
    WHERE id = ANY (ARRAY(
        SELECT id FROM (TABLE free UNION ALL TABLE lost) f ORDER BY priority DESC, turn, id LIMIT $4
    ))
    RETURNING *
)
SELECT u.limited, -c.priority, turn, id, aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, c.priority, claimed_at, started_at, crashes, limits
FROM under u LEFT JOIN claimed c ON true
-- name: claim_of_stream
-- The same where the stream has so few rows that they are sorted faster than found in the lanes.
WITH clock AS MATERIALIZED (
    SELECT coalesce($2, extract(epoch FROM clock_timestamp())::double precision) AS at
), under AS MATERIALIZED (
    SELECT EXISTS (
        SELECT FROM planfold.task_queue WHERE (aggregate_id = $9 OR (aggregate_id > $9 || '.' AND aggregate_id < $9 || '/')) AND limits <> ''
          AND ($8::text[] IS NULL OR route = ANY ($8)) AND tool <> ALL ($5::text[])
    ) AS limited
), free AS (
    SELECT id, priority, turn FROM planfold.task_queue
    WHERE (aggregate_id = $9 OR (aggregate_id > $9 || '.' AND aggregate_id < $9 || '/')) AND NOT (SELECT limited FROM under)
      -- Not a condition of its own, so that no index of all free rows is read for it.
      AND CASE WHEN owner IS NULL THEN crashes <= 1 OR NOT $10 ELSE false END
      AND ($8::text[] IS NULL OR route = ANY ($8)) AND tool <> ALL ($5::text[])
      AND aggregate_id <> ALL ($6::text[])
      AND NOT ($10::boolean AND EXISTS (
          SELECT FROM planfold.task_queue WHERE owner = $1 AND crashes > 1
      ))
    ORDER BY priority DESC, turn, id LIMIT $4 FOR UPDATE SKIP LOCKED
), lost AS (
    SELECT id, priority, turn FROM planfold.task_queue
    WHERE owner IS NOT NULL AND owner <> $1 AND expires < (SELECT at FROM clock) AND (crashes = 0 OR NOT $10)
      AND NOT (SELECT limited FROM under)
      AND ($8::text[] IS NULL OR route = ANY ($8)) AND tool <> ALL ($5::text[])
      AND ($9::text IS NULL OR aggregate_id = $9 OR (aggregate_id > $9 || '.' AND aggregate_id < $9 || '/')) AND aggregate_id <> ALL ($6::text[])
    ORDER BY priority DESC, turn, id LIMIT $4 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE planfold.task_queue
    SET owner = $1, epoch = epoch + 1, starts = starts + 1, claim = $7,
        crashes = crashes + (owner IS NOT NULL)::integer,
        expires = (SELECT at FROM clock) + $3, claimed_at = (SELECT at FROM clock),
        started_at = CASE WHEN starts = 0 THEN (SELECT at FROM clock) ELSE started_at END
    WHERE id = ANY (ARRAY(
        SELECT id FROM (TABLE free UNION ALL TABLE lost) f ORDER BY priority DESC, turn, id LIMIT $4
    ))
    RETURNING *
)
SELECT u.limited, -c.priority, turn, id, aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, c.priority, claimed_at, started_at, crashes, limits
FROM under u LEFT JOIN claimed c ON true
-- name: claim_suspect
WITH clock AS MATERIALIZED (
    SELECT coalesce($2, extract(epoch FROM clock_timestamp())::double precision) AS at
), under AS MATERIALIZED (
    SELECT (
        SELECT true FROM planfold.task_queue WHERE owner IS NULL AND crashes > 1 AND limits <> ''
        ORDER BY priority DESC, turn, id LIMIT 1
    ) IS NOT NULL OR coalesce((
        SELECT min(expires) FROM planfold.task_queue WHERE owner IS NOT NULL AND limits <> ''
    ) < (SELECT at FROM clock), false) AS limited
), free AS (
    SELECT id, priority, turn FROM planfold.task_queue
    WHERE owner IS NULL AND crashes > 1 AND NOT (SELECT limited FROM under)
      AND ($8::text[] IS NULL OR route = ANY ($8)) AND tool <> ALL ($5::text[])
      AND ($4::text IS NULL OR aggregate_id = $4 OR (aggregate_id > $4 || '.' AND aggregate_id < $4 || '/')) AND aggregate_id <> ALL ($6::text[])
      AND NOT EXISTS (SELECT FROM planfold.task_queue WHERE owner = $1)
    ORDER BY priority DESC, turn, id LIMIT 1 FOR UPDATE SKIP LOCKED
), lost AS (
    SELECT id, priority, turn FROM planfold.task_queue
    WHERE owner IS NOT NULL AND owner <> $1 AND expires < (SELECT at FROM clock) AND crashes > 0
      AND NOT (SELECT limited FROM under)
      AND NOT EXISTS (SELECT FROM planfold.task_queue WHERE owner = $1)
      AND ($8::text[] IS NULL OR route = ANY ($8)) AND tool <> ALL ($5::text[])
      AND ($4::text IS NULL OR aggregate_id = $4 OR (aggregate_id > $4 || '.' AND aggregate_id < $4 || '/')) AND aggregate_id <> ALL ($6::text[])
    ORDER BY priority DESC, turn, id LIMIT 1 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE planfold.task_queue
    SET owner = $1, epoch = epoch + 1, starts = starts + 1, claim = $7,
        crashes = crashes + (owner IS NOT NULL)::integer,
        expires = (SELECT at FROM clock) + $3, claimed_at = (SELECT at FROM clock),
        started_at = CASE WHEN starts = 0 THEN (SELECT at FROM clock) ELSE started_at END
    WHERE id = ANY (ARRAY(
        SELECT id FROM (TABLE free UNION ALL TABLE lost) f ORDER BY priority DESC, turn, id LIMIT 1
    ))
    RETURNING *
)
SELECT u.limited, -c.priority, turn, id, aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, c.priority, claimed_at, started_at, crashes, limits
FROM under u LEFT JOIN claimed c ON true
-- name: starts_in_the_future
-- The clock was set back: they count as if they were now.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1, extract(epoch FROM clock_timestamp())::double precision) AS at
)
UPDATE planfold.limit_starts o SET at = clock.at
FROM clock, planfold.limits l
WHERE o.name = l.name AND o.at > clock.at + $2::double precision
-- name: claim_limited
SELECT -priority, turn, id, aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, priority, claimed_at, started_at, crashes, limits
FROM planfold.claim_limited($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
-- name: limits
SELECT s.name, s.starts, s.period, s.concurrency, s.started, s.held, s.opens_at, s.closed_until, c.at
FROM (SELECT coalesce($1, extract(epoch FROM clock_timestamp())::double precision) AS at) c
CROSS JOIN LATERAL planfold.limit_states(c.at, $2) s ORDER BY s.name
-- name: declare_limits
INSERT INTO planfold.limits AS l (name, starts, period, concurrency)
SELECT * FROM unnest($1::text[], $2::integer[], $3::double precision[], $4::integer[]) ORDER BY 1
ON CONFLICT (name) DO UPDATE
SET starts = excluded.starts, period = excluded.period, concurrency = excluded.concurrency
WHERE (l.starts, l.period, l.concurrency)
      IS DISTINCT FROM (excluded.starts, excluded.period, excluded.concurrency)
-- name: reopen_limits
UPDATE planfold.limits SET closed_until = 0 WHERE name = ANY ($1::text[])
-- name: close_limits
WITH asked AS (
    SELECT name FROM planfold.limits WHERE name = ANY ($1::text[]) AND starts IS NOT NULL
    ORDER BY name FOR UPDATE
)
UPDATE planfold.limits
SET closed_until = greatest(closed_until, coalesce($2, extract(epoch FROM clock_timestamp())::double precision) + $3)
WHERE name = ANY (ARRAY(SELECT name FROM asked))
-- name: waiting_suspects
WITH clock AS MATERIALIZED (
    SELECT coalesce($2, extract(epoch FROM clock_timestamp())::double precision) AS at
)
SELECT EXISTS (
    SELECT FROM planfold.task_queue WHERE owner IS NULL AND crashes > 1
      AND ($5::text[] IS NULL OR route = ANY ($5)) AND tool <> ALL ($3::text[])
      AND ($6::text IS NULL OR aggregate_id = $6 OR (aggregate_id > $6 || '.' AND aggregate_id < $6 || '/')) AND aggregate_id <> ALL ($4::text[])
      AND (limits = '' OR cancel OR planfold.has_places(limits, (SELECT at FROM clock), $7))
) OR EXISTS (
    SELECT FROM planfold.task_queue
    WHERE owner IS NOT NULL AND owner <> $1 AND crashes > 0 AND expires < (SELECT at FROM clock)
      AND ($5::text[] IS NULL OR route = ANY ($5)) AND tool <> ALL ($3::text[])
      AND ($6::text IS NULL OR aggregate_id = $6 OR (aggregate_id > $6 || '.' AND aggregate_id < $6 || '/')) AND aggregate_id <> ALL ($4::text[])
      AND (limits = '' OR cancel OR planfold.has_places(limits, (SELECT at FROM clock), $7))
)
-- name: rows_upto
SELECT count(*) FROM (
    SELECT FROM planfold.task_queue WHERE aggregate_id = $1 OR (aggregate_id > $1 || '.' AND aggregate_id < $1 || '/') LIMIT $2
) s
-- name: claimed
SELECT -priority, turn, id, aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, priority, claimed_at, started_at, crashes, limits
FROM planfold.task_queue WHERE owner = $1 AND claim = $2
-- name: lock_stream
SELECT pg_advisory_lock($1::bigint) FROM set_config('lock_timeout', $2, false)
-- name: unlock_stream
SELECT pg_advisory_unlock($1::bigint) FROM set_config('lock_timeout', '0', false)
-- name: release
-- $6: whether its start counts under its limits.
WITH held AS (
    SELECT id, claimed_at, limits FROM planfold.task_queue
    WHERE aggregate_id = $2 AND task_id = $3 AND owner = $4 AND epoch = $5 FOR UPDATE
), released AS (
    UPDATE planfold.task_queue q
    SET owner = NULL, expires = NULL, claimed_at = NULL, starts = q.starts - $1,
        started_at = CASE WHEN q.starts > $1 THEN q.started_at END,
        turn = greatest(q.turn, planfold.first_turn(q.priority, q.route, q.tool, q.limits)),
        limits = CASE WHEN q.cancel THEN '' ELSE q.limits END
    FROM held WHERE q.id = held.id
    RETURNING held.limits, held.claimed_at
)
DELETE FROM planfold.limit_starts WHERE ctid = ANY (ARRAY(
    SELECT one.ctid FROM released r CROSS JOIN unnest(string_to_array(r.limits, ',')) AS w (name)
    CROSS JOIN LATERAL (
        SELECT s.ctid FROM planfold.limit_starts s
        WHERE s.name = w.name AND s.at = r.claimed_at AND NOT $6::boolean LIMIT 1
    ) one
))
-- name: renew
WITH clock AS MATERIALIZED (
    SELECT coalesce($2, extract(epoch FROM clock_timestamp())::double precision) AS at
), seen AS (
    UPDATE planfold.workers SET seen_at = (SELECT at FROM clock) WHERE owner = $1
), held AS (
    SELECT id FROM planfold.task_queue WHERE owner = $1
    ORDER BY aggregate_id, task_id FOR NO KEY UPDATE
)
UPDATE planfold.task_queue SET expires = (SELECT at FROM clock) + $3
WHERE id = ANY (ARRAY(SELECT id FROM held))
RETURNING -priority, turn, id, aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, priority, claimed_at, started_at, crashes, limits
-- name: enter
WITH forgotten AS (
    DELETE FROM planfold.workers
    WHERE seen_at < coalesce($6, extract(epoch FROM clock_timestamp())::double precision) - 86400
)
INSERT INTO planfold.workers (owner, routes, concurrency, host, pid, started_at, seen_at, declined, plan_id)
SELECT $1, $2, $3, $4, $5, c.at, c.at, $7, $8 FROM (
    SELECT coalesce($6, extract(epoch FROM clock_timestamp())::double precision) AS at
) c
ON CONFLICT (owner) DO UPDATE SET seen_at = excluded.seen_at, declined = excluded.declined
-- name: leave
WITH gone AS (
    DELETE FROM planfold.workers WHERE owner = $1
), held AS (
    SELECT id FROM planfold.task_queue WHERE owner = $1
    ORDER BY aggregate_id, task_id FOR NO KEY UPDATE
)
UPDATE planfold.task_queue
SET owner = NULL, expires = NULL, claimed_at = NULL,
    turn = greatest(turn, planfold.first_turn(priority, route, tool, limits)),
    limits = CASE WHEN cancel THEN '' ELSE limits END
WHERE id = ANY (ARRAY(SELECT id FROM held))
-- name: abandon
WITH gone AS (
    DELETE FROM planfold.workers WHERE owner = $1
), held AS (
    SELECT id FROM planfold.task_queue WHERE owner = $1
    ORDER BY aggregate_id, task_id FOR NO KEY UPDATE
)
UPDATE planfold.task_queue SET expires = 0 WHERE id = ANY (ARRAY(SELECT id FROM held))
-- name: all_workers
SELECT owner, host, pid FROM planfold.workers
-- name: workers
SELECT owner, routes, concurrency, host, pid, started_at, seen_at, declined, plan_id,
       (SELECT count(*) FROM planfold.task_queue q WHERE q.owner = w.owner)
FROM planfold.workers w
WHERE seen_at >= coalesce($1, extract(epoch FROM clock_timestamp())::double precision) - $2
ORDER BY started_at, owner
-- name: dead
SELECT owner FROM planfold.task_queue WHERE owner = ANY ($1::text[]) GROUP BY owner
HAVING max(expires) < coalesce($2, extract(epoch FROM clock_timestamp())::double precision)
-- name: owned
SELECT -priority, turn, id, aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, priority, claimed_at, started_at, crashes, limits
FROM planfold.task_queue WHERE owner = $1 ORDER BY id
-- name: queued
SELECT -priority, turn, id, aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, priority, claimed_at, started_at, crashes, limits
FROM planfold.task_queue WHERE aggregate_id = $1 ORDER BY id
-- name: orphans
SELECT -priority, turn, id, aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, priority, claimed_at, started_at, crashes, limits
FROM planfold.task_queue q
WHERE NOT EXISTS (SELECT FROM planfold.streams s WHERE s.aggregate_id = q.aggregate_id) ORDER BY id
-- name: discard
DELETE FROM planfold.task_queue
WHERE aggregate_id = $1 AND NOT EXISTS (SELECT FROM planfold.streams WHERE aggregate_id = $1)
-- name: queue_size
SELECT count(*) FILTER (WHERE owner IS NULL),
       count(*) FILTER (WHERE owner IS NOT NULL AND expires >= coalesce($1, extract(epoch FROM clock_timestamp())::double precision)),
       count(*) FILTER (WHERE owner IS NOT NULL AND expires < coalesce($1, extract(epoch FROM clock_timestamp())::double precision))
FROM planfold.task_queue
-- name: waiting
SELECT count(*) FROM (SELECT FROM planfold.task_queue WHERE owner IS NULL LIMIT $1) s
-- name: owners
SELECT DISTINCT owner FROM planfold.task_queue WHERE owner IS NOT NULL ORDER BY owner
-- name: upcoming
SELECT stream_id, aggregate_id, due_at, updated_at FROM planfold.streams
WHERE due_at IS NOT NULL AND ($2::text[] IS NULL OR stream_id = ANY($2)) ORDER BY due_at LIMIT $1
-- name: upcoming_of_stream
SELECT stream_id, aggregate_id, due_at, updated_at FROM planfold.streams
WHERE (aggregate_id = $3 OR (aggregate_id > $3 || '.' AND aggregate_id < $3 || '/')) AND due_at IS NOT NULL AND ($2::text[] IS NULL OR stream_id = ANY($2))
LIMIT $1
-- name: version
SELECT version FROM planfold.streams WHERE aggregate_id = $1
-- name: heads
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM planfold.streams
WHERE stream_id = $1 AND created_at >= $2 AND (created_at, aggregate_id) < ($3, $4)
ORDER BY created_at DESC, aggregate_id DESC LIMIT $5
-- name: heads_of_status
SELECT h.* FROM unnest($6::text[]) AS wanted (status) CROSS JOIN LATERAL (
    SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
    FROM planfold.streams s
    WHERE stream_id = $1 AND s.status = wanted.status
      AND created_at >= $2 AND (created_at, aggregate_id) < ($3, $4)
    ORDER BY created_at DESC, aggregate_id DESC LIMIT $5
) h ORDER BY h.created_at DESC, h.aggregate_id DESC LIMIT $5
-- name: heads_of_project
SELECT h.* FROM unnest($6::text[]) AS wanted (project) CROSS JOIN LATERAL (
    SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
    FROM planfold.streams s
    WHERE stream_id = $1 AND s.project = wanted.project
      AND created_at >= $2 AND (created_at, aggregate_id) < ($3, $4)
      AND ($7::text[] IS NULL OR s.status = ANY ($7))
    ORDER BY created_at DESC, aggregate_id DESC LIMIT $5
) h ORDER BY h.created_at DESC, h.aggregate_id DESC LIMIT $5
-- name: heads_of_tags
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM planfold.streams
WHERE stream_id = $1 AND created_at >= $2 AND (created_at, aggregate_id) < ($3, $4)
  AND tags IS NOT NULL AND tags LIKE $6
  AND ($7::text[] IS NULL OR status = ANY ($7)) AND ($8::text[] IS NULL OR project = ANY ($8))
ORDER BY created_at DESC, aggregate_id DESC LIMIT $5
-- name: find_heads
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM planfold.streams WHERE aggregate_id >= $2 AND aggregate_id < $3 AND stream_id = $1
  AND ($5::text[] IS NULL OR project = ANY ($5))
ORDER BY aggregate_id LIMIT $4
-- name: head
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM planfold.streams WHERE aggregate_id = $1
-- name: load
SELECT (SELECT version FROM planfold.streams WHERE aggregate_id = $1) AS head, stream_id,
       aggregate_id, version, event_type, event_version, data, metadata, recorded_at, checksum
FROM planfold.events WHERE aggregate_id = $1 AND version > $2 ORDER BY version
-- name: load_after
-- Where there are none, one row with the version of the stream; a long stream would be sorted.
SELECT (SELECT version FROM planfold.streams WHERE aggregate_id = $1) AS head, stream_id,
       aggregate_id, version, event_type, event_version, data, metadata, recorded_at, checksum
FROM (SELECT 1) AS one LEFT JOIN planfold.events ON aggregate_id = $1 AND version > $2
ORDER BY version
-- name: last_position
SELECT greatest(coalesce(max(position), 0), (  -- the newest may be archived
    SELECT value::bigint FROM planfold.meta WHERE key = 'archived_to'
)) FROM planfold.events
-- name: read_versions
SELECT position, stream_id, aggregate_id, version, event_type, event_version, data, metadata,
       recorded_at, checksum
FROM planfold.events WHERE aggregate_id = $1 AND version > $2 ORDER BY version LIMIT $3
-- name: first_metadata
SELECT metadata FROM planfold.events WHERE aggregate_id = $1 AND version = 1
-- name: lock_consumer
SELECT pg_advisory_xact_lock(hashtextextended('planfold.consumer.' || $1, 0))
-- name: epoch
SELECT value::bigint FROM planfold.meta WHERE key = 'epoch'
-- name: shares
SELECT name, partition, partitions, position, owner, epoch, store_id, store_epoch, updated_at
FROM planfold.consumers WHERE ($1::text IS NULL OR name = $1) ORDER BY name, partition
-- name: begin_share
INSERT INTO planfold.consumers
    (name, partition, partitions, store_id, store_epoch, position, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
-- name: take_share
UPDATE planfold.consumers SET owner = $1, epoch = epoch + 1 WHERE name = $2 AND partition = $3
-- name: advance_share
-- Giving it back may be said twice, when the answer to the first time was lost.
WITH moved AS (
    UPDATE planfold.consumers
    SET position = $1, owner = CASE WHEN $3 THEN NULL ELSE owner END,
        updated_at = coalesce($2, extract(epoch FROM clock_timestamp())::double precision)
    WHERE name = $4 AND partition = $5 AND epoch = $7
      AND (owner = $6 OR ($3 AND owner IS NULL))
    RETURNING 1
), freed AS (
    DELETE FROM planfold.parked
    WHERE consumer = $4 AND aggregate_id = ANY ($8::text[]) AND EXISTS (SELECT FROM moved)
), put_aside AS (
    INSERT INTO planfold.parked
        (consumer, aggregate_id, position, error, attempts, parked_at, retry_at)
    SELECT $4, p.* FROM unnest(
        $9::text[], $10::bigint[], $11::text[], $12::integer[], $13::double precision[],
        $14::double precision[]
    ) AS p WHERE EXISTS (SELECT FROM moved)
    ON CONFLICT (consumer, aggregate_id) DO UPDATE
    SET position = excluded.position, error = excluded.error, attempts = excluded.attempts,
        parked_at = excluded.parked_at, retry_at = excluded.retry_at
)
SELECT count(*) FROM moved
-- name: leave_consumer
WITH gone AS (
    DELETE FROM planfold.members WHERE consumer = $1 AND owner = $2
)
UPDATE planfold.consumers SET owner = NULL WHERE name = $1 AND owner = $2
-- name: accept_consumer
UPDATE planfold.consumers
SET store_id = $2, store_epoch = $3, owner = NULL, epoch = epoch + 1, updated_at = $4,
    position = least(position, $5)
WHERE name = $1
-- name: forget_consumer
WITH streams AS (
    DELETE FROM planfold.parked WHERE consumer = $1
), gone AS (
    DELETE FROM planfold.members WHERE consumer = $1
)
DELETE FROM planfold.consumers WHERE name = $1
-- name: members
SELECT consumer, owner FROM planfold.members WHERE ($1::text IS NULL OR consumer = $1)
  AND expires >= coalesce($2, extract(epoch FROM clock_timestamp())::double precision)
ORDER BY consumer, owner
-- name: renew_member
INSERT INTO planfold.members (consumer, owner, expires) VALUES ($1, $2, $3)
ON CONFLICT (consumer, owner) DO UPDATE SET expires = excluded.expires
-- name: bound_members
UPDATE planfold.members SET expires = $2 WHERE consumer = $1 AND expires > $2
-- name: drop_expired_members
DELETE FROM planfold.members WHERE consumer = $1 AND expires < $2
-- name: parked
SELECT consumer, aggregate_id, position, error, attempts, parked_at, retry_at FROM planfold.parked
WHERE ($1::text IS NULL OR consumer = $1) ORDER BY consumer, parked_at, aggregate_id
-- name: parked_retrying
SELECT consumer, aggregate_id, position, error, attempts, parked_at, retry_at FROM planfold.parked
WHERE ($1::text IS NULL OR consumer = $1) AND retry_at IS NOT NULL
ORDER BY consumer, parked_at, aggregate_id
-- name: replay
UPDATE planfold.parked SET attempts = 0,
    retry_at = coalesce($3, extract(epoch FROM clock_timestamp())::double precision)
WHERE consumer = $1 AND retry_at IS NULL AND ($2::text IS NULL OR aggregate_id = $2)
RETURNING 1
-- name: snapshot
-- One that is ahead of its stream is of before a restore from a backup.
SELECT p.version, p.checksum, p.data FROM planfold.snapshots p JOIN planfold.streams s USING (aggregate_id)
WHERE aggregate_id = $1 AND p.version <= s.version
-- name: save_snapshot
INSERT INTO planfold.snapshots (aggregate_id, version, checksum, data) VALUES ($1, $2, $3, $4)
ON CONFLICT (aggregate_id) DO UPDATE
SET version = excluded.version, checksum = excluded.checksum, data = excluded.data
-- name: drop_snapshot
DELETE FROM planfold.snapshots WHERE aggregate_id = $1
-- name: read_model
SELECT checkpoint, position, checksum, data FROM planfold.read_models WHERE name = $1
-- name: save_read_model
INSERT INTO planfold.read_models (name, checkpoint, position, checksum, data)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE
SET checkpoint = excluded.checkpoint, position = excluded.position, checksum = excluded.checksum,
    data = excluded.data
-- name: forget_read_models
WITH forgotten AS (DELETE FROM planfold.read_models WHERE name <> '')
INSERT INTO planfold.read_models (name, checkpoint, position, checksum, data)
VALUES ('', '', 1, '', '')
ON CONFLICT (name) DO UPDATE SET position = planfold.read_models.position + 1
-- name: times_forgotten
SELECT position FROM planfold.read_models WHERE name = ''
-- name: look_at_log
SELECT upto, highest, holders FROM planfold.look_at_log($1, $2)
-- name: conditions_of_log
SELECT seqcache = 1 AND seqincrement > 0 AND NOT seqcycle AS rising, pg_is_in_recovery() AS standby
FROM pg_sequence WHERE seqrelid = pg_get_serial_sequence('planfold.events', 'position')::regclass
-- name: feed_page
SELECT position, stream_id, aggregate_id, version, event_type, event_version, data, metadata,
       recorded_at, checksum
FROM planfold.feed_page($1, $2, $3, $4, $5, $6)
-- name: notify
-- A notification is not durable anyway, so its commit need not wait for the disk.
SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)
-- name: snapshot_of_now
-- A snapshot shows which transactions have ended: it changes when one that wrote has.
SELECT pg_current_snapshot()::text AS snapshot
-- name: grown
SELECT aggregate_id, version, events FROM planfold.grown($1, $2)
-- name: all_streams
SELECT stream_id, aggregate_id, version, head, due_at, created_at, updated_at
FROM planfold.streams ORDER BY created_at, aggregate_id
-- name: next_streams
FETCH 200 FROM streams
-- name: some_streams
SELECT stream_id, aggregate_id, version, head, due_at, created_at, updated_at
FROM planfold.streams WHERE aggregate_id = ANY ($1::text[]) ORDER BY created_at, aggregate_id
-- name: commands_of
SELECT aggregate_id, command_id, body_hash, version, recorded_at FROM planfold.commands
WHERE aggregate_id = ANY ($1::text[]) ORDER BY aggregate_id, version, command_id
-- name: tasks_of
SELECT aggregate_id, task_id, attempt, route, cause, epoch, starts, cancel, tool, priority,
       started_at, crashes, limits
FROM planfold.task_queue WHERE aggregate_id = ANY ($1::text[]) ORDER BY aggregate_id, id
-- name: events_of_stream
-- Rows until their texts are larger than $4 bytes together, at least one.
SELECT 1, stream_id, aggregate_id, version, event_type, event_version, data, metadata, recorded_at,
       checksum
FROM (
    SELECT *, sum(octet_length(data) + octet_length(metadata)) OVER (
        ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS before FROM (
        SELECT stream_id, aggregate_id, version, event_type, event_version, data, metadata,
               recorded_at, checksum
        FROM planfold.events
        WHERE aggregate_id = $1 AND version > $2 ORDER BY version LIMIT $3
    ) AS latest
) AS sized WHERE coalesce(before, 0) < $4 ORDER BY version
-- name: events_of_streams
SELECT place, stream_id, aggregate_id, version, event_type, event_version, data, metadata,
       recorded_at, checksum
FROM (
    SELECT *, sum(octet_length(data) + octet_length(metadata)) OVER (
        ORDER BY place, version ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS before FROM (
        SELECT s.place, stream_id, aggregate_id, e.version, event_type, event_version, data,
               metadata, recorded_at, checksum
        FROM unnest($1::text[]) WITH ORDINALITY AS s (id, place)
        JOIN planfold.events e ON e.aggregate_id = s.id
        WHERE s.place >= $2 AND (s.place, e.version) > ($2, $3)
        ORDER BY s.place, e.version LIMIT $4
    ) AS latest
) AS sized WHERE coalesce(before, 0) < $5 ORDER BY place, version
-- name: versions_of
SELECT aggregate_id, version FROM planfold.streams WHERE aggregate_id = ANY ($1::text[])
-- name: owners_of_commands
SELECT command_id, aggregate_id FROM planfold.commands WHERE command_id = ANY ($1::text[])
-- name: unchanged_since
SELECT stream_id, aggregate_id, version, head, due_at, created_at, updated_at FROM planfold.streams
WHERE stream_id = $1 AND updated_at <= $2 AND aggregate_id > $3 ORDER BY aggregate_id LIMIT $4
-- name: footing
SELECT s.version, s.head,
       (SELECT count(*) FROM planfold.events e WHERE e.aggregate_id = s.aggregate_id),
       (SELECT count(*) FROM planfold.task_queue q WHERE q.aggregate_id = s.aggregate_id),
       (SELECT name FROM planfold.consumers c WHERE c.position < (
            SELECT position FROM planfold.events e
            WHERE e.aggregate_id = s.aggregate_id AND e.version = s.version
        ) ORDER BY name LIMIT 1),
       (SELECT consumer FROM planfold.parked p WHERE p.aggregate_id = s.aggregate_id
        ORDER BY consumer LIMIT 1)
FROM planfold.streams s WHERE s.aggregate_id = $1
-- name: lock_streams
SELECT aggregate_id, version FROM planfold.streams WHERE aggregate_id = ANY ($1::text[])
ORDER BY aggregate_id FOR UPDATE
-- name: drop_tasks
DELETE FROM planfold.task_queue WHERE aggregate_id = ANY ($1::text[])
RETURNING aggregate_id, task_id, attempt, expires, epoch, starts, started_at, crashes
-- name: begin_streams
INSERT INTO planfold.streams (stream_id, aggregate_id, version, head, due_at, created_at, updated_at,
                              status, project, tags)
SELECT s.*, planfold.status_of(s.d), planfold.project_of(s.d), planfold.tags_of(s.d)
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::double precision[],
                     $6::double precision[], $7::double precision[]) AS s (a, id, c, d, e, f, g)
ORDER BY s.id COLLATE "C" ON CONFLICT DO NOTHING RETURNING aggregate_id
-- name: advance_stream
UPDATE planfold.streams SET version = $2, head = $3, due_at = $4, updated_at = $5,
       status = planfold.status_of($3), project = planfold.project_of($3), tags = planfold.tags_of($3)
WHERE aggregate_id = $1
-- name: lift_tombstones
DELETE FROM planfold.tombstones WHERE aggregate_id = ANY ($1::text[])
-- name: add_events
INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type, event_version, data,
                             metadata, recorded_at, checksum)
SELECT stream, id, version, type, event_version, data, metadata, at, checksum
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::integer[], $6::text[],
            $7::text[], $8::double precision[], $9::integer[])
    WITH ORDINALITY AS e (stream, id, version, type, event_version, data, metadata, at, checksum, k)
ORDER BY k
-- name: add_commands
INSERT INTO planfold.commands (aggregate_id, command_id, body_hash, version, recorded_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::double precision[])
ON CONFLICT DO NOTHING RETURNING command_id
-- name: add_tasks
INSERT INTO planfold.task_queue (aggregate_id, task_id, attempt, route, cause, epoch, starts, cancel,
                                 tool, priority, started_at, crashes, limits, turn)
SELECT t.id, task, attempt, route, cause, epoch, starts, cancel, tool, priority, started_at, crashes,
       limits, greatest(s.turn, planfold.first_turn(priority, route, tool, limits) - 1)
       + row_number() OVER (PARTITION BY t.id ORDER BY k)
FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::text[], $5::bigint[], $6::bigint[],
            $7::integer[], $8::boolean[], $9::text[], $10::integer[], $11::double precision[],
            $12::integer[], $13::text[])
    WITH ORDINALITY AS t (id, task, attempt, route, cause, epoch, starts, cancel, tool, priority,
                          started_at, crashes, limits, k)
JOIN planfold.streams s ON s.aggregate_id = t.id
ORDER BY k
-- name: set_turns
UPDATE planfold.streams s SET turn = q.last FROM (
    SELECT aggregate_id, max(turn) AS last FROM planfold.task_queue
    WHERE aggregate_id = ANY ($1::text[]) GROUP BY aggregate_id
) AS q WHERE s.aggregate_id = q.aggregate_id
-- name: tombstones
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, archived_at, file, sha256
FROM planfold.tombstones WHERE aggregate_id = ANY ($1::text[])
-- name: find_tombstones
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, archived_at, file, sha256
FROM planfold.tombstones WHERE aggregate_id >= $1 AND aggregate_id < $2 ORDER BY aggregate_id LIMIT $3
-- name: archive
WITH gone AS (
    DELETE FROM planfold.events WHERE aggregate_id = $2 RETURNING position
), commands AS (
    DELETE FROM planfold.commands WHERE aggregate_id = $2
), snapshot AS (
    DELETE FROM planfold.snapshots WHERE aggregate_id = $2
), stream AS (
    DELETE FROM planfold.streams WHERE aggregate_id = $2
), highest AS (
    INSERT INTO planfold.meta (key, value) SELECT 'archived_to', max(position)::text FROM gone
    ON CONFLICT (key) DO UPDATE
    SET value = greatest(meta.value::bigint, excluded.value::bigint)::text
)
INSERT INTO planfold.tombstones (stream_id, aggregate_id, version, head, created_at, updated_at,
                                 archived_at, file, sha256)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
-- name: facts
SELECT current_setting('server_version') AS server,
       (SELECT max(number) FROM planfold.migrations) AS schema,
       pg_database_size(current_database()) AS bytes,
       pg_total_relation_size('planfold.events') AS events_bytes,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
       current_setting('max_connections')::integer AS max_connections
-- name: unsafe_settings
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' ORDER BY name
-- name: all_events
SELECT stream_id, aggregate_id, version, event_type, event_version, data, metadata, recorded_at,
       checksum
FROM planfold.events ORDER BY position
-- name: damaged_streams
-- Streams whose head is not their last event, or whose events do not follow each other.
WITH found AS (
    SELECT aggregate_id, count(*) AS events, min(version) AS first, max(version) AS last
    FROM planfold.events GROUP BY aggregate_id
)
SELECT f.aggregate_id, s.version, f.events, f.last
FROM found f LEFT JOIN planfold.streams s ON s.aggregate_id = f.aggregate_id
WHERE s.version IS DISTINCT FROM f.last OR f.first <> 1 OR f.last <> f.events
UNION ALL
SELECT s.aggregate_id, s.version, 0, 0 FROM planfold.streams s
WHERE NOT EXISTS (SELECT FROM planfold.events e WHERE e.aggregate_id = s.aggregate_id)
LIMIT 5
-- name: write_check
INSERT INTO planfold.meta (key, value)
SELECT 'write_check', string_agg(md5(number::text), '') FROM generate_series(1, 2048) AS number
