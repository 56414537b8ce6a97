-- Names compare bytewise (COLLATE "C"): every process sorts them alike, whatever the locale, and
-- no upgrade of the system's locales can break an index. JSON stands in text columns: jsonb has
-- no place for \u0000.

CREATE TABLE planfold.meta (
    key   text PRIMARY KEY,
    value text NOT NULL
);
-- The epoch tells a store from its own restored backup; the order says whether appends wait for
-- each other ('strict') or positions may become visible out of order ('feed').
INSERT INTO planfold.meta (key, value) VALUES ('epoch', '1'), ('order', 'feed');

CREATE TABLE planfold.events (
    position      bigint           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_id     text COLLATE "C" NOT NULL,
    aggregate_id  text COLLATE "C" NOT NULL,
    version       bigint           NOT NULL,
    event_type    text COLLATE "C" NOT NULL,
    event_version integer          NOT NULL,
    data          text             NOT NULL,
    metadata      text             NOT NULL,
    recorded_at   double precision NOT NULL,
    receipt       bigint  -- on the first event of a decision: which writer made it
);
CREATE UNIQUE INDEX events_by_stream ON planfold.events (aggregate_id, version);

CREATE TABLE planfold.streams (
    aggregate_id text COLLATE "C" PRIMARY KEY,
    stream_id    text COLLATE "C" NOT NULL,
    version      bigint           NOT NULL,
    head         text             NOT NULL,
    due_at       double precision,
    created_at   double precision NOT NULL,
    updated_at   double precision NOT NULL
) WITH (fillfactor = 75);
CREATE INDEX streams_due ON planfold.streams (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX streams_by_kind ON planfold.streams (stream_id, created_at, aggregate_id);

CREATE TABLE planfold.task_queue (
    id           bigint           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    aggregate_id text COLLATE "C" NOT NULL,
    task_id      bigint           NOT NULL,
    attempt      integer          NOT NULL,
    route        text COLLATE "C" NOT NULL,
    cause        bigint           NOT NULL,  -- version of the event that dispatched it
    owner        text COLLATE "C",
    epoch        bigint           NOT NULL,  -- fencing token: rises with every claim
    starts       integer          NOT NULL,  -- claims after which the effect may have begun
    expires      double precision,
    cancel       boolean          NOT NULL DEFAULT false,
    claim        bigint  -- which claim took it, for one who lost the answer
) WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE UNIQUE INDEX task_queue_by_stream ON planfold.task_queue (aggregate_id, task_id);
CREATE INDEX task_queue_free ON planfold.task_queue (id) WHERE owner IS NULL;
CREATE INDEX task_queue_free_by_route ON planfold.task_queue (route, id) WHERE owner IS NULL;
CREATE INDEX task_queue_expiring ON planfold.task_queue (expires) WHERE owner IS NOT NULL;
CREATE INDEX task_queue_owned ON planfold.task_queue (owner) WHERE owner IS NOT NULL;

CREATE TABLE planfold.commands (
    command_id   text COLLATE "C" PRIMARY KEY,
    aggregate_id text COLLATE "C" NOT NULL,
    body_hash    text             NOT NULL,
    version      bigint           NOT NULL,  -- of the stream after it
    recorded_at  double precision NOT NULL
);

-- How far a named consumer has read. A group shares its streams by partitions, each leased to
-- one member at a time; a consumer on its own has one partition.
CREATE TABLE planfold.consumers (
    name        text COLLATE "C" NOT NULL,
    partition   integer          NOT NULL,
    partitions  integer          NOT NULL,
    store_id    text             NOT NULL,
    store_epoch bigint           NOT NULL,
    position    bigint           NOT NULL,
    owner       text COLLATE "C",
    epoch       bigint           NOT NULL DEFAULT 0,  -- fencing token: rises with every owner
    updated_at  double precision NOT NULL,
    PRIMARY KEY (name, partition)
) WITH (fillfactor = 50);

-- The members of a consumer's group that live. A partition is leased to its owner for as long as
-- the owner is here, so that one row per member is renewed and not one per partition.
CREATE TABLE planfold.members (
    consumer text COLLATE "C" NOT NULL,
    owner    text COLLATE "C" NOT NULL,
    expires  double precision NOT NULL,
    PRIMARY KEY (consumer, owner)
) WITH (fillfactor = 50);

-- Streams that a consumer has put aside because its handler failed on them.
CREATE TABLE planfold.parked (
    consumer     text COLLATE "C" NOT NULL,
    aggregate_id text COLLATE "C" NOT NULL,
    position     bigint           NOT NULL,  -- of the first event that was not handled
    error        text             NOT NULL,
    attempts     integer          NOT NULL,
    parked_at    double precision NOT NULL,
    retry_at     double precision,  -- NULL: when somebody asks for it
    PRIMARY KEY (consumer, aggregate_id)
);
CREATE INDEX parked_retrying ON planfold.parked (consumer) WHERE retry_at IS NOT NULL;

-- For people to look at; recovery starts from task_queue.
CREATE TABLE planfold.workers (
    owner       text COLLATE "C" PRIMARY KEY,
    routes      text[],  -- NULL: all
    concurrency integer          NOT NULL,
    host        text             NOT NULL,
    pid         integer          NOT NULL,
    started_at  double precision NOT NULL,
    seen_at     double precision NOT NULL,
    declined    text[]           NOT NULL  -- routes that it found it has no tool for
) WITH (fillfactor = 50);

CREATE TABLE planfold.snapshots (
    aggregate_id text COLLATE "C" PRIMARY KEY,
    version      bigint NOT NULL,
    checksum     text   NOT NULL,
    data         bytea  NOT NULL
);

-- What is left here of a stream that was moved to an archive.
CREATE TABLE planfold.tombstones (
    aggregate_id text COLLATE "C" PRIMARY KEY,
    stream_id    text COLLATE "C" NOT NULL,
    version      bigint           NOT NULL,
    head         text             NOT NULL,
    created_at   double precision NOT NULL,
    updated_at   double precision NOT NULL,
    archived_at  double precision NOT NULL,
    file         text             NOT NULL,
    sha256       text             NOT NULL
);
