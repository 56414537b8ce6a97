-- name: lease_of_task
SELECT 1 FROM task_queue WHERE aggregate_id = ? AND task_id = ? AND attempt = ? AND epoch = ?
-- name: find_command
SELECT aggregate_id, body_hash FROM commands WHERE command_id = ?
-- name: advance_stream
UPDATE streams SET version = ?, head = ?, due_at = ?, updated_at = ?
WHERE aggregate_id = ? AND version = ?
-- name: begin_stream
INSERT INTO streams (version, head, due_at, updated_at, created_at, aggregate_id, stream_id)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (aggregate_id) DO NOTHING
-- name: add_event
INSERT INTO events (stream_id, aggregate_id, version, event_type, event_version, data, metadata, recorded_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
-- name: add_command
INSERT INTO commands (command_id, aggregate_id, body_hash, version, recorded_at) VALUES (?, ?, ?, ?, ?)
-- name: enqueue
INSERT INTO task_queue (aggregate_id, task_id, attempt, route, cause, owner, epoch, starts, expires)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: settle
DELETE FROM task_queue WHERE aggregate_id = ? AND task_id = ?
-- name: signal
UPDATE task_queue SET cancel = 1 WHERE aggregate_id = ? AND task_id = ?
-- name: claim
UPDATE task_queue SET owner = ?1, epoch = epoch + 1, starts = starts + 1, expires = ?2
WHERE id IN (
    SELECT id FROM task_queue
    WHERE (owner IS NULL OR expires < ?3)
      AND (?4 IS NULL OR aggregate_id = ?4)
      AND (?5 IS NULL OR route IN (SELECT value FROM json_each(?5)))
      AND route NOT IN (SELECT value FROM json_each(?6))
      AND aggregate_id NOT IN (SELECT value FROM json_each(?7))
    ORDER BY id LIMIT ?8
)
RETURNING id, aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner
-- name: claimable
SELECT EXISTS (
    SELECT 1 FROM task_queue
    WHERE (owner IS NULL OR expires < ?1)
      AND (?2 IS NULL OR aggregate_id = ?2)
      AND (?3 IS NULL OR route IN (SELECT value FROM json_each(?3)))
      AND route NOT IN (SELECT value FROM json_each(?4))
      AND aggregate_id NOT IN (SELECT value FROM json_each(?5))
)
-- name: release
UPDATE task_queue SET owner = NULL, expires = NULL, starts = starts - ?
WHERE aggregate_id = ? AND task_id = ? AND owner = ? AND epoch = ?
-- name: renew
UPDATE task_queue SET expires = ? WHERE owner = ?
-- name: enter
INSERT INTO workers (owner, routes, concurrency, host, pid, started_at, seen_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (owner) DO UPDATE SET seen_at = excluded.seen_at
-- name: seen
UPDATE workers SET seen_at = ? WHERE owner = ?
-- name: leave
DELETE FROM workers WHERE owner = ?
-- name: workers
SELECT owner, routes, concurrency, host, pid, started_at, seen_at FROM workers
WHERE seen_at >= ? ORDER BY started_at, owner
-- name: owned
SELECT aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner
FROM task_queue WHERE owner = ?
-- name: queued
SELECT aggregate_id, task_id, attempt, route, epoch, starts, expires, cancel, cause, owner
FROM task_queue WHERE aggregate_id = ? ORDER BY id
-- name: owners
SELECT DISTINCT owner FROM task_queue WHERE owner IS NOT NULL
-- name: abandon
UPDATE task_queue SET expires = 0 WHERE owner = ?
-- name: due
SELECT aggregate_id FROM streams
WHERE due_at <= ?1 AND (?2 IS NULL OR aggregate_id = ?2) AND (?3 IS NULL OR stream_id = ?3)
ORDER BY due_at LIMIT 100
-- name: next_due
SELECT min(due_at) FROM streams
WHERE due_at IS NOT NULL AND (?1 IS NULL OR aggregate_id = ?1) AND (?2 IS NULL OR stream_id = ?2)
-- name: version
SELECT version FROM streams WHERE aggregate_id = ?
-- name: versions
SELECT ifnull((SELECT version FROM streams WHERE aggregate_id = ?1), 0),
       ifnull((SELECT max(version) FROM events WHERE aggregate_id = ?1), 0)
-- name: heads
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM streams WHERE stream_id = ? ORDER BY created_at, rowid
-- name: head
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM streams WHERE aggregate_id = ?
-- name: load
SELECT version, event_type, event_version, data FROM events
WHERE aggregate_id = ? AND version > ? ORDER BY version
-- name: read_stream
SELECT position, stream_id, aggregate_id, version, event_type, event_version, data, metadata, recorded_at
FROM events
WHERE aggregate_id = ?1 AND position > ?2
  AND (?3 IS NULL OR stream_id = ?3) AND (?4 IS NULL OR event_type = ?4)
ORDER BY version LIMIT ?5
-- name: read_log
SELECT position, stream_id, aggregate_id, version, event_type, event_version, data, metadata, recorded_at
FROM events
WHERE position > ?2 AND (?3 IS NULL OR stream_id = ?3) AND (?4 IS NULL OR event_type = ?4)
ORDER BY position LIMIT ?5
-- name: last_position
SELECT ifnull(max(position), 0) FROM events
-- name: first_metadata
SELECT metadata FROM events WHERE aggregate_id = ? AND version = 1
-- name: checkpoint
SELECT store_id, store_epoch, position FROM consumers WHERE name = ? AND partition = 0
-- name: save_checkpoint
INSERT INTO consumers (name, partition, partitions, store_id, store_epoch, position, updated_at)
VALUES (?, 0, 1, ?, ?, ?, ?)
ON CONFLICT (name, partition) DO UPDATE
SET position = excluded.position, updated_at = excluded.updated_at,
    store_id = excluded.store_id, store_epoch = excluded.store_epoch
-- name: snapshot
SELECT version, checksum, data FROM snapshots WHERE aggregate_id = ?
-- name: save_snapshot
INSERT INTO snapshots (aggregate_id, version, checksum, data) VALUES (?, ?, ?, ?)
ON CONFLICT (aggregate_id) DO UPDATE
SET version = excluded.version, checksum = excluded.checksum, data = excluded.data
-- name: drop_snapshot
DELETE FROM snapshots WHERE aggregate_id = ?
-- name: meta
SELECT value FROM meta WHERE key = ?
