CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE events (
    position      INTEGER PRIMARY KEY AUTOINCREMENT,
    stream_id     TEXT    NOT NULL,
    aggregate_id  TEXT    NOT NULL,
    version       INTEGER NOT NULL,
    event_type    TEXT    NOT NULL,
    event_version INTEGER NOT NULL,
    data          TEXT    NOT NULL,
    metadata      TEXT    NOT NULL,
    recorded_at   REAL    NOT NULL
);
CREATE UNIQUE INDEX events_by_stream ON events (aggregate_id, version);

CREATE TABLE streams (
    aggregate_id TEXT    PRIMARY KEY,
    stream_id    TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    head         TEXT    NOT NULL,
    due_at       REAL,
    created_at   REAL    NOT NULL,
    updated_at   REAL    NOT NULL
);
CREATE INDEX streams_due ON streams (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE task_queue (
    id           INTEGER PRIMARY KEY,
    aggregate_id TEXT    NOT NULL,
    task_id      INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    route        TEXT    NOT NULL,
    cause        INTEGER NOT NULL,  -- version of the event that dispatched it
    owner        TEXT,
    epoch        INTEGER NOT NULL,  -- fencing token: rises with every claim
    starts       INTEGER NOT NULL,  -- claims after which the effect may have begun
    expires      REAL,
    cancel       INTEGER NOT NULL DEFAULT 0,
    UNIQUE (aggregate_id, task_id)
);
CREATE INDEX task_queue_free ON task_queue (id) WHERE owner IS NULL;
CREATE INDEX task_queue_owned ON task_queue (owner) WHERE owner IS NOT NULL;

CREATE TABLE commands (
    command_id   TEXT    PRIMARY KEY,
    aggregate_id TEXT    NOT NULL,
    body_hash    TEXT    NOT NULL,
    version      INTEGER NOT NULL,  -- of the stream after it
    recorded_at  REAL    NOT NULL
) WITHOUT ROWID;

CREATE TABLE checkpoints (
    name       TEXT    PRIMARY KEY,
    store_id   TEXT    NOT NULL,
    position   INTEGER NOT NULL,
    updated_at REAL    NOT NULL
) WITHOUT ROWID;

CREATE TABLE snapshots (
    aggregate_id TEXT    PRIMARY KEY,
    version      INTEGER NOT NULL,
    checksum     TEXT    NOT NULL,
    data         BLOB    NOT NULL
);
