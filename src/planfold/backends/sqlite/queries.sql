-- name: lease_of_task
SELECT 1 FROM task_queue WHERE aggregate_id = ? AND task_id = ? AND attempt = ? AND epoch = ?
-- name: find_command
SELECT aggregate_id, body_hash FROM commands WHERE command_id = ?
-- name: advance_stream
UPDATE streams SET version = ?, head = ?, due_at = ?, updated_at = ?
WHERE aggregate_id = ? AND version = ? AND stream_id = ?
-- name: begin_stream
INSERT INTO streams (version, head, due_at, updated_at, created_at, aggregate_id, stream_id)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
WHERE NOT EXISTS (SELECT 1 FROM tombstones WHERE aggregate_id = ?6)
ON CONFLICT (aggregate_id) DO NOTHING
-- name: add_event
INSERT INTO events (stream_id, aggregate_id, version, event_type, event_version, data, metadata, recorded_at, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
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
-- name: forget_workers
DELETE FROM workers WHERE seen_at < ? - 86400
-- name: enter
INSERT INTO workers (owner, routes, concurrency, host, pid, started_at, seen_at, declined)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (owner) DO UPDATE SET seen_at = excluded.seen_at, declined = excluded.declined
-- name: seen
UPDATE workers SET seen_at = ? WHERE owner = ?
-- name: leave
DELETE FROM workers WHERE owner = ?
-- name: workers
SELECT owner, concurrency, host, pid, started_at, seen_at, routes, declined FROM workers
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
-- name: upcoming
SELECT stream_id, aggregate_id, due_at, updated_at FROM streams
WHERE due_at IS NOT NULL AND (?1 IS NULL OR stream_id IN (SELECT value FROM json_each(?1)))
  AND (?2 IS NULL OR aggregate_id = ?2)
ORDER BY due_at LIMIT ?3
-- name: version
SELECT version FROM streams WHERE aggregate_id = ?
-- name: versions
SELECT ifnull((SELECT version FROM streams WHERE aggregate_id = ?1), 0),
       ifnull((SELECT max(version) FROM events WHERE aggregate_id = ?1), 0),
       (SELECT stream_id FROM streams WHERE aggregate_id = ?1)
-- name: heads
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM streams WHERE stream_id = ? ORDER BY created_at, rowid
-- name: head
SELECT stream_id, aggregate_id, version, head, created_at, updated_at, due_at
FROM streams WHERE aggregate_id = ?
-- name: load
-- Texts of events come as bytes, here and below: damaged ones need not be UTF-8.
SELECT (SELECT version FROM streams WHERE aggregate_id = ?1) AS head, CAST(stream_id AS BLOB), version,
       CAST(event_type AS BLOB), event_version, CAST(data AS BLOB), CAST(metadata AS BLOB),
       recorded_at, checksum
FROM events WHERE aggregate_id = ?1 AND version > ?2 ORDER BY version
-- name: read_stream
SELECT position, CAST(stream_id AS BLOB), CAST(aggregate_id AS BLOB), version,
       CAST(event_type AS BLOB), event_version, CAST(data AS BLOB), CAST(metadata AS BLOB),
       recorded_at, checksum
FROM events
WHERE aggregate_id = ?1 AND position > ?2
  AND (?3 IS NULL OR stream_id = ?3) AND (?4 IS NULL OR event_type = ?4)
ORDER BY version LIMIT ?5
-- name: read_type
SELECT position, CAST(stream_id AS BLOB), CAST(aggregate_id AS BLOB), version,
       CAST(event_type AS BLOB), event_version, CAST(data AS BLOB), CAST(metadata AS BLOB),
       recorded_at, checksum
FROM events
WHERE event_type = ?4 AND position > ?2 AND (?3 IS NULL OR +stream_id = ?3)
ORDER BY position LIMIT ?5
-- name: read_kind
SELECT position, CAST(stream_id AS BLOB), CAST(aggregate_id AS BLOB), version,
       CAST(event_type AS BLOB), event_version, CAST(data AS BLOB), CAST(metadata AS BLOB),
       recorded_at, checksum
FROM events
WHERE stream_id = ?3 AND position > ?2
ORDER BY position LIMIT ?5
-- name: read_log
SELECT position, CAST(stream_id AS BLOB), CAST(aggregate_id AS BLOB), version,
       CAST(event_type AS BLOB), event_version, CAST(data AS BLOB), CAST(metadata AS BLOB),
       recorded_at, checksum
FROM events
WHERE position > ?2 ORDER BY position LIMIT ?5
-- name: last_position
SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)  -- the newest may be archived
-- name: first_metadata
SELECT CAST(metadata AS BLOB) FROM events WHERE aggregate_id = ? AND version = 1
-- name: save_checkpoint
INSERT INTO consumers (name, partition, partitions, store_id, store_epoch, position, updated_at)
VALUES (?, 0, 1, ?, ?, ?, ?)
ON CONFLICT (name, partition) DO UPDATE
SET position = excluded.position, updated_at = excluded.updated_at,
    store_id = excluded.store_id, store_epoch = excluded.store_epoch
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
SELECT version, checksum, data FROM snapshots WHERE aggregate_id = ?
-- name: save_snapshot
INSERT INTO snapshots (aggregate_id, version, checksum, data) VALUES (?, ?, ?, ?)
ON CONFLICT (aggregate_id) DO UPDATE
SET version = excluded.version, checksum = excluded.checksum, data = excluded.data
-- name: drop_snapshot
DELETE FROM snapshots WHERE aggregate_id = ?
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
SELECT task_id, attempt, route, cause, epoch, starts, cancel FROM task_queue
WHERE aggregate_id = ? ORDER BY id
-- name: events_of
SELECT version, CAST(event_type AS BLOB), event_version, CAST(data AS BLOB),
       CAST(metadata AS BLOB), recorded_at, checksum, CAST(stream_id AS BLOB)
FROM events WHERE aggregate_id = ? ORDER BY version
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
SELECT task_id, attempt, epoch, starts, expires FROM task_queue WHERE aggregate_id = ?
-- name: drop_tasks
DELETE FROM task_queue WHERE aggregate_id = ?
-- name: add_task
INSERT INTO task_queue (aggregate_id, task_id, attempt, route, cause, epoch, starts, cancel)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
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
