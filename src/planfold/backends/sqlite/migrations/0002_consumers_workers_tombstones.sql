-- The epoch tells a store from its own restored backup.
INSERT INTO meta (key, value) VALUES ('epoch', '1');

-- How far a named consumer has read. A group shares its streams by partitions, each leased to
-- one member at a time; a consumer on its own has one partition.
CREATE TABLE consumers (
    name        TEXT    NOT NULL,
    partition   INTEGER NOT NULL,
    partitions  INTEGER NOT NULL,
    store_id    TEXT    NOT NULL,
    store_epoch INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    owner       TEXT,
    epoch       INTEGER NOT NULL DEFAULT 0,  -- fencing token: rises with every change of owner
    expires     REAL,
    updated_at  REAL    NOT NULL,
    PRIMARY KEY (name, partition)
) WITHOUT ROWID;
INSERT INTO consumers (name, partition, partitions, store_id, store_epoch, position, updated_at)
SELECT name, 0, 1, store_id, 1, position, updated_at FROM checkpoints;
DROP TABLE checkpoints;

-- Streams that a consumer has put aside because its handler failed on them.
CREATE TABLE parked (
    consumer     TEXT    NOT NULL,
    aggregate_id TEXT    NOT NULL,
    position     INTEGER NOT NULL,  -- of the first event that was not handled
    error        TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    parked_at    REAL    NOT NULL,
    PRIMARY KEY (consumer, aggregate_id)
) WITHOUT ROWID;

-- For people to look at; recovery starts from task_queue.
CREATE TABLE workers (
    owner       TEXT    PRIMARY KEY,
    routes      TEXT,  -- JSON list; NULL: all
    concurrency INTEGER NOT NULL,
    host        TEXT    NOT NULL,
    pid         INTEGER NOT NULL,
    started_at  REAL    NOT NULL,
    seen_at     REAL    NOT NULL,
    declined    TEXT    NOT NULL  -- JSON list of routes that it found it has no tool for
) WITHOUT ROWID;

-- What is left here of a stream that was moved to an archive.
CREATE TABLE tombstones (
    aggregate_id TEXT    PRIMARY KEY,
    stream_id    TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    head         TEXT    NOT NULL,
    created_at   REAL    NOT NULL,
    updated_at   REAL    NOT NULL,
    archived_at  REAL    NOT NULL,
    file         TEXT    NOT NULL,
    sha256       TEXT    NOT NULL
) WITHOUT ROWID;
