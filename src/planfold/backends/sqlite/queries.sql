-- name: lease_of_task
SELECT 1 FROM task_queue WHERE aggregate_id = ? AND task_id = ? AND attempt = ? AND epoch = ?
-- name: find_command
SELECT aggregate_id, body_hash FROM commands WHERE command_id = ?
-- name: advance_stream
UPDATE streams SET version = ?, head = ?, due_at = ?, updated_at = ?, turn = ifnull(?, turn)
WHERE aggregate_id = ? AND version = ? AND stream_id = ?
-- name: begin_stream
INSERT INTO streams (version, head, due_at, updated_at, turn, created_at, aggregate_id, stream_id)
SELECT ?1, ?2, ?3, ?4, ifnull(?5, 0), ?6, ?7, ?8
WHERE NOT EXISTS (SELECT 1 FROM tombstones WHERE aggregate_id = ?7)
ON CONFLICT (aggregate_id) DO NOTHING
-- name: last_turn
SELECT turn FROM streams WHERE aggregate_id = ?
-- name: set_turn
UPDATE streams SET turn = ? WHERE aggregate_id = ?
-- name: add_event
INSERT INTO events (stream_id, aggregate_id, version, event_type, event_version, data, metadata, recorded_at, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: add_command
INSERT INTO commands (command_id, aggregate_id, body_hash, version, recorded_at) VALUES (?, ?, ?, ?, ?)
-- name: enqueue
INSERT INTO task_queue (aggregate_id, task_id, attempt, route, tool, priority, limits, cause, epoch, starts, turn)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?)
-- name: enqueue_leased
INSERT INTO task_queue (aggregate_id, task_id, attempt, route, tool, priority, limits, cause, epoch, starts, owner, expires, claimed_at, started_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, 1, ?9, ?10, ?11, ?11)
-- name: first_turn
SELECT min(turn) FROM task_queue WHERE priority = ? AND route = ? AND tool = ? AND limits = ? AND owner IS NULL
-- name: first_turn_of_all
WITH RECURSIVE lanes (route, tool, limits) AS (
    SELECT * FROM (
        SELECT route, tool, limits FROM task_queue WHERE owner IS NULL
        ORDER BY route, tool, limits LIMIT 1
    )
    UNION ALL
    SELECT q.route, q.tool, q.limits FROM lanes JOIN task_queue q ON q.id = coalesce((
        SELECT id FROM task_queue n
        WHERE n.owner IS NULL AND n.route = lanes.route AND n.tool = lanes.tool
          AND n.limits > lanes.limits
        ORDER BY n.limits LIMIT 1
    ), (
        SELECT id FROM task_queue n
        WHERE n.owner IS NULL AND n.route = lanes.route AND n.tool > lanes.tool
        ORDER BY n.tool, n.limits LIMIT 1
    ), (
        SELECT id FROM task_queue n
        WHERE n.owner IS NULL AND n.route > lanes.route ORDER BY n.route, n.tool, n.limits LIMIT 1
    ))
)
SELECT min((
    SELECT min(q.turn) FROM task_queue q
    WHERE q.priority = ?1 AND q.route = lanes.route AND q.tool = lanes.tool
      AND q.limits = lanes.limits AND q.owner IS NULL
)), ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0) + 1
FROM lanes
-- name: settle
DELETE FROM task_queue WHERE aggregate_id = ? AND task_id = ?
-- name: signal
-- What waits and is to stop needs no place: a worker takes it to end it.
UPDATE task_queue SET cancel = 1, limits = iif(owner IS NULL, '', limits) WHERE aggregate_id = ? AND task_id = ?
-- name: lanes
WITH RECURSIVE lanes (route, tool, limits) AS (
    SELECT * FROM (
        SELECT route, tool, limits FROM task_queue WHERE owner IS NULL
        ORDER BY route, tool, limits LIMIT 1
    )
    UNION ALL
    SELECT q.route, q.tool, q.limits FROM lanes JOIN task_queue q ON q.id = coalesce((
        SELECT id FROM task_queue n
        WHERE n.owner IS NULL AND n.route = lanes.route AND n.tool = lanes.tool
          AND n.limits > lanes.limits
        ORDER BY n.limits LIMIT 1
    ), (
        SELECT id FROM task_queue n
        WHERE n.owner IS NULL AND n.route = lanes.route AND n.tool > lanes.tool
        ORDER BY n.tool, n.limits LIMIT 1
    ), (
        SELECT id FROM task_queue n
        WHERE n.owner IS NULL AND n.route > lanes.route ORDER BY n.route, n.tool, n.limits LIMIT 1
    ))
)
SELECT route, tool, limits FROM lanes
-- name: free
SELECT -priority, turn, id, limits FROM task_queue INDEXED BY task_queue_free
WHERE owner IS NULL AND route = ?2 AND tool = ?3 AND limits = ?4
  AND (?5 IS NULL OR aggregate_id NOT IN (SELECT value FROM json_each(?5)))
  AND (?6 IS NULL OR aggregate_id = ?6 OR (aggregate_id > ?6 || '.' AND aggregate_id < ?6 || '/')) AND crashes <= ?7
ORDER BY priority DESC, turn, id LIMIT ?1
-- name: rows_upto
SELECT count(*) FROM (SELECT 1 FROM task_queue WHERE aggregate_id = ?1 OR (aggregate_id > ?1 || '.' AND aggregate_id < ?1 || '/') LIMIT ?2)
-- name: free_of_stream
SELECT -priority, turn, id, limits FROM task_queue
WHERE (aggregate_id = ?3 OR (aggregate_id > ?3 || '.' AND aggregate_id < ?3 || '/')) AND owner IS NULL AND crashes <= ?7
  AND (?2 IS NULL OR aggregate_id NOT IN (SELECT value FROM json_each(?2)))
  AND (?4 IS NULL OR route IN (SELECT value FROM json_each(?4)))
  AND (?5 IS NULL OR tool NOT IN (SELECT value FROM json_each(?5)))
  AND (?6 IS NULL OR limits NOT IN (SELECT value FROM json_each(?6)))
ORDER BY priority DESC, turn, id LIMIT ?1
-- name: free_suspects
SELECT -priority, turn, id, limits FROM task_queue INDEXED BY task_queue_suspects
WHERE owner IS NULL AND crashes > 1
  AND (?2 IS NULL OR aggregate_id NOT IN (SELECT value FROM json_each(?2)))
  AND (?3 IS NULL OR aggregate_id = ?3 OR (aggregate_id > ?3 || '.' AND aggregate_id < ?3 || '/'))
  AND (?4 IS NULL OR route IN (SELECT value FROM json_each(?4)))
  AND (?5 IS NULL OR tool NOT IN (SELECT value FROM json_each(?5)))
  AND (?6 IS NULL OR limits NOT IN (SELECT value FROM json_each(?6)))
ORDER BY priority DESC, turn, id LIMIT ?1
-- name: lost
SELECT -priority, turn, id, iif(cancel, '', limits) FROM task_queue INDEXED BY task_queue_owned
WHERE owner IN (SELECT value FROM json_each(?7)) AND expires < ?8 AND crashes BETWEEN ?9 AND ?10
  AND (?2 IS NULL OR aggregate_id NOT IN (SELECT value FROM json_each(?2)))
  AND (?3 IS NULL OR aggregate_id = ?3 OR (aggregate_id > ?3 || '.' AND aggregate_id < ?3 || '/'))
  AND (?4 IS NULL OR route IN (SELECT value FROM json_each(?4)))
  AND (?5 IS NULL OR tool NOT IN (SELECT value FROM json_each(?5)))
  AND (?6 IS NULL OR cancel OR limits NOT IN (SELECT value FROM json_each(?6)))
ORDER BY priority DESC, turn, id LIMIT ?1
-- name: claim
UPDATE task_queue
SET owner = ?1, epoch = epoch + 1, starts = starts + 1, crashes = crashes + (owner IS NOT NULL),
    expires = ?2, claimed_at = ?3, started_at = iif(starts = 0, ?3, started_at)
WHERE id IN (SELECT value FROM json_each(?4))
RETURNING -priority, turn, id, aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, priority, claimed_at, started_at, crashes, limits
-- name: limits
SELECT name, starts, period, concurrency, closed_until FROM limits ORDER BY name
-- name: declare_limit
INSERT INTO limits (name, starts, period, concurrency) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE
SET starts = excluded.starts, period = excluded.period, concurrency = excluded.concurrency
-- name: close_limit
UPDATE limits SET closed_until = max(closed_until, ?2) WHERE name = ?1 AND starts IS NOT NULL
-- name: reopen_limit
UPDATE limits SET closed_until = 0 WHERE name = ?
-- name: starts_after
SELECT count(*) FROM limit_starts WHERE name = ? AND at > ?
-- name: start_after
SELECT at FROM limit_starts WHERE name = ? AND at > ? ORDER BY at LIMIT 1 OFFSET ?
-- name: starts_in_the_future
-- The clock was set back: they count as if they were now.
UPDATE limit_starts SET at = ?2 WHERE name = ?1 AND at > ?2
-- name: forget_starts
DELETE FROM limit_starts WHERE name = ? AND at <= ?
-- name: add_start
INSERT INTO limit_starts (name, at) VALUES (?, ?)
-- name: take_back_start
-- Of a task that was not begun, by when it was claimed.
DELETE FROM limit_starts WHERE rowid = (
    SELECT s.rowid FROM limit_starts s JOIN task_queue q ON s.at = q.claimed_at
    WHERE s.name = ?1 AND q.aggregate_id = ?2 AND q.task_id = ?3 AND q.owner = ?4 AND q.epoch = ?5
    LIMIT 1
)
-- name: held_limits
SELECT limits, count(*) FROM task_queue INDEXED BY task_queue_limited
WHERE owner IS NOT NULL AND limits <> ''
  AND NOT (expires < ?1 AND owner IN (SELECT value FROM json_each(?2)))
GROUP BY limits
-- name: held_crashes
SELECT max(crashes) FROM task_queue WHERE owner = ?
-- name: release
UPDATE task_queue
SET owner = NULL, expires = NULL, claimed_at = NULL, starts = starts - ?1,
    started_at = iif(starts = ?1, NULL, started_at), turn = max(turn, ?2),
    limits = iif(cancel, '', limits)
WHERE aggregate_id = ?3 AND task_id = ?4 AND owner = ?5 AND epoch = ?6
-- name: renew
UPDATE task_queue SET expires = ? WHERE owner = ?
-- name: forget_workers
DELETE FROM workers WHERE seen_at < ? - 86400
-- name: enter
INSERT INTO workers (owner, routes, concurrency, host, pid, started_at, seen_at, declined, plan_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (owner) DO UPDATE SET seen_at = excluded.seen_at, declined = excluded.declined
-- name: seen
UPDATE workers SET seen_at = ? WHERE owner = ?
-- name: leave
DELETE FROM workers WHERE owner = ?
-- name: workers
SELECT owner, concurrency, host, pid, started_at, seen_at, routes, declined, plan_id,
       (SELECT count(*) FROM task_queue q WHERE q.owner = workers.owner)
FROM workers
WHERE seen_at >= ? ORDER BY started_at, owner
-- name: owned
SELECT aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, priority, claimed_at, started_at, crashes, limits
FROM task_queue WHERE owner = ? ORDER BY id
-- name: queued
SELECT aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, priority, claimed_at, started_at, crashes, limits
FROM task_queue WHERE aggregate_id = ? ORDER BY id
-- name: orphans
SELECT aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner, tool, priority, claimed_at, started_at, crashes, limits
FROM task_queue q WHERE NOT EXISTS (SELECT 1 FROM streams s WHERE s.aggregate_id = q.aggregate_id) ORDER BY id
-- name: discard
DELETE FROM task_queue
WHERE aggregate_id = ?1 AND NOT EXISTS (SELECT 1 FROM streams WHERE aggregate_id = ?1)
-- name: queue_size
SELECT count(*) FILTER (WHERE owner IS NULL), count(*) FILTER (WHERE owner IS NOT NULL AND expires >= ?1),
       count(*) FILTER (WHERE owner IS NOT NULL AND expires < ?1)
FROM task_queue
-- name: waiting
SELECT count(*) FROM (SELECT 1 FROM task_queue WHERE owner IS NULL LIMIT ?)
-- name: owners
WITH RECURSIVE owners (owner) AS (
    SELECT min(owner) FROM task_queue WHERE owner IS NOT NULL
    UNION ALL
    SELECT (SELECT min(q.owner) FROM task_queue q WHERE q.owner > owners.owner) FROM owners
    WHERE owners.owner IS NOT NULL
)
SELECT owner FROM owners WHERE owner IS NOT NULL
-- name: abandon
UPDATE task_queue SET expires = 0 WHERE owner = ?
-- name: upcoming
SELECT stream_id, aggregate_id, due_at, updated_at FROM streams
WHERE due_at IS NOT NULL AND (?1 IS NULL OR stream_id IN (SELECT value FROM json_each(?1)))
  AND (?2 IS NULL OR aggregate_id = ?2 OR (aggregate_id > ?2 || '.' AND aggregate_id < ?2 || '/'))
ORDER BY due_at LIMIT ?3
-- name: version
SELECT version FROM streams WHERE aggregate_id = ?
-- name: versions
SELECT ifnull((SELECT version FROM streams WHERE aggregate_id = ?1), 0),
       ifnull((SELECT max(version) FROM events WHERE aggregate_id = ?1), 0),
       (SELECT stream_id FROM streams WHERE aggregate_id = ?1)
-- name: heads
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM streams WHERE stream_id = ?1 AND created_at >= ?2 AND (created_at, aggregate_id) < (?3, ?4)
ORDER BY created_at DESC, aggregate_id DESC LIMIT ?5
-- name: heads_of_status
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM streams INDEXED BY streams_by_status WHERE stream_id = ?1 AND created_at >= ?2 AND (created_at, aggregate_id) < (?3, ?4)
  AND status = ?6
ORDER BY created_at DESC, aggregate_id DESC LIMIT ?5
-- name: heads_of_project
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM streams INDEXED BY streams_by_project WHERE stream_id = ?1 AND created_at >= ?2 AND (created_at, aggregate_id) < (?3, ?4)
  AND project = ?6 AND (?7 IS NULL OR status IN (SELECT value FROM json_each(?7)))
ORDER BY created_at DESC, aggregate_id DESC LIMIT ?5
-- name: heads_of_tags
-- The tags are in the index, so that plans with others are passed over without reading their rows.
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM streams INDEXED BY streams_by_tags WHERE stream_id = ?1 AND created_at >= ?2 AND (created_at, aggregate_id) < (?3, ?4)
  AND tags IS NOT NULL AND tags GLOB ?6
  AND (?7 IS NULL OR status IN (SELECT value FROM json_each(?7)))
  AND (?8 IS NULL OR project IN (SELECT value FROM json_each(?8)))
ORDER BY created_at DESC, aggregate_id DESC LIMIT ?5
-- name: find_heads
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM streams WHERE aggregate_id >= ?2 AND aggregate_id < ?3 AND +stream_id = ?1
  AND (?5 IS NULL OR +project IN (SELECT value FROM json_each(?5)))
ORDER BY aggregate_id LIMIT ?4
-- name: head
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM streams WHERE aggregate_id = ?
-- name: load
-- Texts of events come as bytes, here and below: damaged ones need not be UTF-8.
SELECT (SELECT version FROM streams WHERE aggregate_id = ?1) AS head, CAST(stream_id AS BLOB),
       CAST(aggregate_id AS BLOB), version, CAST(event_type AS BLOB), event_version, CAST(data AS BLOB), CAST(metadata AS BLOB),
       recorded_at, checksum
FROM events WHERE aggregate_id = ?1 AND version > ?2 ORDER BY version
-- name: load_after
-- Where there are none, one row with the version of the stream; a long stream would be sorted.
SELECT (SELECT version FROM streams WHERE aggregate_id = ?1) AS head, CAST(stream_id AS BLOB),
       CAST(aggregate_id AS BLOB), version, CAST(event_type AS BLOB), event_version, CAST(data AS BLOB), CAST(metadata AS BLOB),
       recorded_at, checksum
FROM (SELECT 1) LEFT JOIN events ON aggregate_id = ?1 AND version > ?2 ORDER BY version
-- name: read_stream
SELECT position, CAST(stream_id AS BLOB), CAST(aggregate_id AS BLOB), version,
       CAST(event_type AS BLOB), event_version, CAST(data AS BLOB), CAST(metadata AS BLOB),
       recorded_at, checksum
FROM events
WHERE aggregate_id = ?1 AND position > ?2
  AND (?3 IS NULL OR stream_id = ?3) AND (?4 IS NULL OR event_type = ?4)
ORDER BY version LIMIT ?5
-- name: read_versions
SELECT position, CAST(stream_id AS BLOB), CAST(aggregate_id AS BLOB), version,
       CAST(event_type AS BLOB), event_version, CAST(data AS BLOB), CAST(metadata AS BLOB),
       recorded_at, checksum
FROM events WHERE aggregate_id = ?1 AND version > ?2 ORDER BY version LIMIT ?3
-- name: read_type
SELECT position, CAST(stream_id AS BLOB), CAST(aggregate_id AS BLOB), version,
       CAST(event_type AS BLOB), event_version, CAST(data AS BLOB), CAST(metadata AS BLOB),
       recorded_at, checksum
FROM events
WHERE event_type = ?4 AND position > ?2 AND (?3 IS NULL OR +stream_id = ?3)
  AND event_type <> 'TaskDispatched' AND event_type <> 'TaskStatusUpdated'
  AND event_type <> 'StepStarted' AND event_type <> 'StepRecorded'
ORDER BY position LIMIT ?5
-- name: read_kind
SELECT position, CAST(stream_id AS BLOB), CAST(aggregate_id AS BLOB), version,
       CAST(event_type AS BLOB), event_version, CAST(data AS BLOB), CAST(metadata AS BLOB),
       recorded_at, checksum
FROM events
WHERE stream_id = ?3 AND position > ?2 AND stream_id <> 'plan'
ORDER BY position LIMIT ?5
-- name: read_log
SELECT position, CAST(stream_id AS BLOB), CAST(aggregate_id AS BLOB), version,
       CAST(event_type AS BLOB), event_version, CAST(data AS BLOB), CAST(metadata AS BLOB),
       recorded_at, checksum
FROM events
WHERE position > ?2 AND (?3 IS NULL OR +stream_id = ?3) AND (?4 IS NULL OR +event_type = ?4)
ORDER BY position LIMIT ?5
-- name: last_position
SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)  -- the newest may be archived
-- name: first_metadata
SELECT CAST(metadata AS BLOB) FROM events WHERE aggregate_id = ? AND version = 1
-- name: raise_epoch
UPDATE meta SET value = value + 1 WHERE key = 'epoch' RETURNING CAST(value AS INTEGER)
-- name: shares
SELECT name, partition, partitions, position, owner, epoch, store_id, store_epoch, updated_at
FROM consumers WHERE (?1 IS NULL OR name = ?1) ORDER BY name, partition
-- name: begin_share
INSERT INTO consumers (name, partition, partitions, store_id, store_epoch, position, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
-- name: take_share
UPDATE consumers SET owner = ?, epoch = epoch + 1 WHERE name = ? AND partition = ?
-- name: advance_share
UPDATE consumers SET position = ?1, updated_at = ?2, owner = iif(?3, NULL, owner)
WHERE name = ?4 AND partition = ?5 AND owner = ?6 AND epoch = ?7
-- name: free_shares
UPDATE consumers SET owner = NULL WHERE name = ? AND owner = ?
-- name: accept_consumer
UPDATE consumers
SET store_id = ?2, store_epoch = ?3, owner = NULL, epoch = epoch + 1, updated_at = ?4,
    position = min(position, ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0))
WHERE name = ?1
-- name: forget_consumer
DELETE FROM consumers WHERE name = ?
-- name: members
SELECT consumer, owner FROM members WHERE (?1 IS NULL OR consumer = ?1) AND expires >= ?2
ORDER BY consumer, owner
-- name: renew_member
INSERT INTO members (consumer, owner, expires) VALUES (?, ?, ?)
ON CONFLICT (consumer, owner) DO UPDATE SET expires = excluded.expires
-- name: drop_member
DELETE FROM members WHERE consumer = ? AND owner = ?
-- name: bound_members
UPDATE members SET expires = ?2 WHERE consumer = ?1 AND expires > ?2
-- name: drop_expired_members
DELETE FROM members WHERE consumer = ? AND expires < ?
-- name: parked
SELECT consumer, aggregate_id, position, error, attempts, parked_at, retry_at FROM parked
WHERE (?1 IS NULL OR consumer = ?1) ORDER BY consumer, parked_at, aggregate_id
-- name: parked_retrying
SELECT consumer, aggregate_id, position, error, attempts, parked_at, retry_at FROM parked
WHERE (?1 IS NULL OR consumer = ?1) AND retry_at IS NOT NULL
ORDER BY consumer, parked_at, aggregate_id
-- name: park
INSERT INTO parked (consumer, aggregate_id, position, error, attempts, parked_at, retry_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (consumer, aggregate_id) DO UPDATE
SET position = excluded.position, error = excluded.error, attempts = excluded.attempts,
    parked_at = excluded.parked_at, retry_at = excluded.retry_at
-- name: unpark
DELETE FROM parked WHERE consumer = ? AND aggregate_id = ?
-- name: forget_parked
DELETE FROM parked WHERE consumer = ?
-- name: forget_members
DELETE FROM members WHERE consumer = ?
-- name: replay
UPDATE parked SET retry_at = ?1, attempts = 0
WHERE consumer = ?2 AND retry_at IS NULL AND (?3 IS NULL OR aggregate_id = ?3)
-- name: snapshot
-- One that is ahead of its stream is of before a restore from a backup.
SELECT p.version, p.checksum, p.data FROM snapshots p JOIN streams s USING (aggregate_id)
WHERE aggregate_id = ? AND p.version <= s.version
-- name: save_snapshot
INSERT INTO snapshots (aggregate_id, version, checksum, data) VALUES (?, ?, ?, ?)
ON CONFLICT (aggregate_id) DO UPDATE
SET version = excluded.version, checksum = excluded.checksum, data = excluded.data
-- name: drop_snapshot
DELETE FROM snapshots WHERE aggregate_id = ?
-- name: read_model
SELECT checkpoint, position, checksum, data FROM read_models WHERE name = ?
-- name: save_read_model
INSERT INTO read_models (name, checkpoint, position, checksum, data) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE
SET checkpoint = excluded.checkpoint, position = excluded.position, checksum = excluded.checksum,
    data = excluded.data
-- name: forget_read_models
DELETE FROM read_models WHERE name <> ''
-- name: count_forgetting
INSERT INTO read_models (name, checkpoint, position, checksum, data) VALUES ('', '', 1, '', x'')
ON CONFLICT (name) DO UPDATE SET position = position + 1
-- name: times_forgotten
SELECT position FROM read_models WHERE name = ''
-- name: meta
SELECT value FROM meta WHERE key = ?
-- name: all_streams
SELECT stream_id, aggregate_id, version, head, due_at, created_at, updated_at
FROM streams ORDER BY created_at, aggregate_id
-- name: some_streams
SELECT stream_id, aggregate_id, version, head, due_at, created_at, updated_at
FROM streams WHERE aggregate_id IN (SELECT value FROM json_each(?)) ORDER BY created_at, aggregate_id
-- name: commands_of
SELECT command_id, body_hash, version, recorded_at FROM commands
WHERE aggregate_id = ? ORDER BY version, command_id
-- name: tasks_of
SELECT task_id, attempt, route, cause, epoch, starts, cancel, tool, priority, started_at, crashes, limits
FROM task_queue WHERE aggregate_id = ? ORDER BY id
-- name: events_of
SELECT CAST(stream_id AS BLOB), CAST(aggregate_id AS BLOB), version, CAST(event_type AS BLOB),
       event_version, CAST(data AS BLOB), CAST(metadata AS BLOB), recorded_at, checksum
FROM events WHERE aggregate_id = ? ORDER BY version
-- name: all_events
SELECT CAST(stream_id AS BLOB), CAST(aggregate_id AS BLOB), version, CAST(event_type AS BLOB),
       event_version, CAST(data AS BLOB), CAST(metadata AS BLOB), recorded_at, checksum
FROM events ORDER BY position
-- name: damaged_streams
-- Streams whose head is not their last event, or whose events do not follow each other.
WITH found AS (
    SELECT aggregate_id, count(*) AS events, min(version) AS first, max(version) AS last
    FROM events GROUP BY aggregate_id
)
SELECT CAST(f.aggregate_id AS BLOB), s.version, f.events, f.last
FROM found f LEFT JOIN streams s ON s.aggregate_id = f.aggregate_id
WHERE s.version IS NOT f.last OR f.first <> 1 OR f.last <> f.events
UNION ALL
SELECT CAST(s.aggregate_id AS BLOB), s.version, 0, 0 FROM streams s
WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.aggregate_id = s.aggregate_id)
LIMIT 5
-- name: damaged_positions
-- Events whose position is below that of an earlier event of their stream, or is invalid.
SELECT CAST(aggregate_id AS BLOB), version, position FROM (
    SELECT aggregate_id, version, position, lag(position, 1, 0) OVER (
        PARTITION BY aggregate_id ORDER BY version
    ) AS before FROM events
)
WHERE position <= before
   OR position > ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)
LIMIT 5
-- name: versions_of
SELECT aggregate_id, version FROM streams WHERE aggregate_id IN (SELECT value FROM json_each(?))
-- name: owners_of_commands
SELECT command_id, aggregate_id FROM commands WHERE command_id IN (SELECT value FROM json_each(?))
-- name: unchanged_since
SELECT stream_id, aggregate_id, version, head, due_at, created_at, updated_at FROM streams
WHERE stream_id = ? AND updated_at <= ? AND aggregate_id > ? ORDER BY aggregate_id LIMIT ?
-- name: footing
SELECT s.version, s.head, (SELECT count(*) FROM events WHERE aggregate_id = s.aggregate_id),
       (SELECT count(*) FROM task_queue WHERE aggregate_id = s.aggregate_id),
       (SELECT name FROM consumers WHERE position < (
            SELECT position FROM events WHERE aggregate_id = s.aggregate_id AND version = s.version
        ) ORDER BY name LIMIT 1),
       (SELECT consumer FROM parked WHERE aggregate_id = s.aggregate_id ORDER BY consumer LIMIT 1)
FROM streams s WHERE s.aggregate_id = ?
-- name: held_tasks
SELECT task_id, attempt, expires, epoch, starts, started_at, crashes FROM task_queue
WHERE aggregate_id = ?
-- name: drop_tasks
DELETE FROM task_queue WHERE aggregate_id = ?
-- name: add_task
INSERT INTO task_queue (aggregate_id, task_id, attempt, route, cause, epoch, starts, cancel, tool, priority, started_at, crashes, limits, turn)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: drop_events
DELETE FROM events WHERE aggregate_id = ?
-- name: drop_commands
DELETE FROM commands WHERE aggregate_id = ?
-- name: drop_stream
DELETE FROM streams WHERE aggregate_id = ?
-- name: tombstones
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, archived_at, file, sha256
FROM tombstones WHERE aggregate_id IN (SELECT value FROM json_each(?))
-- name: find_tombstones
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, archived_at, file, sha256
FROM tombstones WHERE aggregate_id >= ? AND aggregate_id < ? ORDER BY aggregate_id LIMIT ?
-- name: add_tombstone
INSERT INTO tombstones (stream_id, aggregate_id, version, head, created_at, updated_at, archived_at, file, sha256)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: lift_tombstone
DELETE FROM tombstones WHERE aggregate_id = ?
