-- The whole schema as it is after all migrations, to be read; only the migrations are applied. A test
-- compares the two.

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
    recorded_at   REAL    NOT NULL,
    checksum      INTEGER  -- see planfold/eventstore/event_rows.py; NULL in rows that are older
);
CREATE UNIQUE INDEX events_by_stream ON events (aggregate_id, version);
CREATE INDEX events_by_type ON events (event_type)
WHERE event_type <> 'TaskDispatched' AND event_type <> 'TaskStatusUpdated'
  AND event_type <> 'StepStarted' AND event_type <> 'StepRecorded';
CREATE INDEX events_by_kind ON events (stream_id) WHERE stream_id <> 'plan';

CREATE TABLE streams (
    aggregate_id TEXT    PRIMARY KEY,
    stream_id    TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    head         TEXT    NOT NULL,
    due_at       REAL,
    created_at   REAL    NOT NULL,
    updated_at   REAL    NOT NULL,
    turn         INTEGER NOT NULL DEFAULT 0,  -- the last one that a row of the queue got, see turns.py
    status       TEXT    GENERATED ALWAYS AS (iif(json_valid(head), head ->> '$.status', NULL)) VIRTUAL,
    project      TEXT    GENERATED ALWAYS AS (ifnull(iif(json_valid(head), head ->> '$.project', NULL), 'default')) VIRTUAL,
    tags         TEXT    GENERATED ALWAYS AS (iif(json_valid(head), head ->> '$.tags', NULL)) VIRTUAL  -- as JSON
);
CREATE INDEX streams_by_kind ON streams (stream_id, created_at, aggregate_id);
CREATE INDEX streams_by_status ON streams (stream_id, status, created_at, aggregate_id);
CREATE INDEX streams_by_project ON streams (stream_id, project, created_at, aggregate_id);
CREATE INDEX streams_by_tags ON streams (stream_id, created_at, aggregate_id, tags) WHERE tags IS NOT NULL;
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
    tool         TEXT    NOT NULL DEFAULT '',  -- what a worker needs to run it
    priority     INTEGER NOT NULL DEFAULT 0,  -- higher ones are granted first
    turn         INTEGER NOT NULL DEFAULT 0,  -- place in the line of its priority, see turns.py
    crashes      INTEGER NOT NULL DEFAULT 0,  -- owners that died of it or lost it
    claimed_at   REAL,  -- when the present owner got it
    started_at   REAL,  -- when the first owner got it whose effect may have begun
    limits       TEXT    NOT NULL DEFAULT '',  -- names of shared limits, with commas between them
    UNIQUE (aggregate_id, task_id)
);
CREATE INDEX task_queue_free ON task_queue (route, tool, limits, priority DESC, turn) WHERE owner IS NULL;
CREATE INDEX task_queue_suspects ON task_queue (priority DESC, turn) WHERE owner IS NULL AND crashes > 1;
CREATE INDEX task_queue_owned ON task_queue (owner, expires) WHERE owner IS NOT NULL;
CREATE INDEX task_queue_limited ON task_queue (limits, owner, expires) WHERE owner IS NOT NULL AND limits <> '';

-- Limits by name over all workers, as the worker that started last declares them.
CREATE TABLE limits (
    name         TEXT    PRIMARY KEY,
    starts       INTEGER,  -- tasks that may start in a period; NULL: any number
    period       REAL    NOT NULL,  -- seconds
    concurrency  INTEGER,  -- tasks that may run at once; NULL: any number
    closed_until REAL    NOT NULL DEFAULT 0  -- a server has asked to wait until then
) WITHOUT ROWID;

-- Starts that still count.
CREATE TABLE limit_starts (
    name TEXT NOT NULL,
    at   REAL NOT NULL
);
CREATE INDEX limit_starts_by_time ON limit_starts (name, at);

CREATE TABLE commands (
    command_id   TEXT    PRIMARY KEY,
    aggregate_id TEXT    NOT NULL,
    body_hash    TEXT    NOT NULL,
    version      INTEGER NOT NULL,  -- of the stream after it
    recorded_at  REAL    NOT NULL
) WITHOUT ROWID;
CREATE INDEX commands_by_stream ON commands (aggregate_id);

CREATE TABLE snapshots (
    aggregate_id TEXT    PRIMARY KEY,
    version      INTEGER NOT NULL,
    checksum     TEXT    NOT NULL,
    data         BLOB    NOT NULL
);

-- What is counted from the log, up to a checkpoint: a cache, rebuilt from the log where it lacks.
-- The position of the row without a name is how often all others were removed.
CREATE TABLE read_models (
    name       TEXT    PRIMARY KEY,
    checkpoint TEXT    NOT NULL,  -- store:epoch:position
    position   INTEGER NOT NULL,
    checksum   TEXT    NOT NULL,
    data       BLOB    NOT NULL
);

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
    updated_at  REAL    NOT NULL,
    PRIMARY KEY (name, partition)
) WITHOUT ROWID;

-- The members of a consumer's group that live. A partition is leased to its owner for as long as
-- the owner is here, so that one row per member is renewed and not one per partition.
CREATE TABLE members (
    consumer TEXT NOT NULL,
    owner    TEXT NOT NULL,
    expires  REAL NOT NULL,
    PRIMARY KEY (consumer, owner)
) WITHOUT ROWID;

-- Streams that a consumer has put aside because its handler failed on them.
CREATE TABLE parked (
    consumer     TEXT    NOT NULL,
    aggregate_id TEXT    NOT NULL,
    position     INTEGER NOT NULL,  -- of the first event that was not handled
    error        TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    parked_at    REAL    NOT NULL,
    retry_at     REAL,  -- when the stream is tried again; NULL: when an operator asks for it
    PRIMARY KEY (consumer, aggregate_id)
) WITHOUT ROWID;
CREATE INDEX parked_retrying ON parked (consumer) WHERE retry_at IS NOT NULL;

-- For people to look at; recovery starts from task_queue.
CREATE TABLE workers (
    owner       TEXT    PRIMARY KEY,
    routes      TEXT,  -- JSON list; NULL: all
    concurrency INTEGER NOT NULL,
    host        TEXT    NOT NULL,
    pid         INTEGER NOT NULL,
    started_at  REAL    NOT NULL,
    seen_at     REAL    NOT NULL,
    declined    TEXT    NOT NULL, -- JSON list of tools that it found it does not have
    plan_id     TEXT  -- the only plan that it serves; NULL: all
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
