-- The whole schema as it is after all migrations, to be read; only the migrations are applied. A test
-- compares the two.

CREATE SCHEMA planfold;

CREATE TABLE planfold.migrations (
    number     integer PRIMARY KEY,
    name       text             NOT NULL,
    applied_at double precision NOT NULL
);

-- Names compare bytewise (COLLATE "C"): every process sorts them alike, whatever the locale, and
-- no upgrade of the system's locales can break an index. JSON is in text columns: jsonb has
-- no place for \u0000.

CREATE TABLE planfold.meta (
    key   text PRIMARY KEY,
    value text NOT NULL
);

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
    receipt       bigint,  -- on the first event of a decision: which writer made it
    checksum      integer  -- see planfold/eventstore/event_rows.py; NULL in rows that are older
);
CREATE UNIQUE INDEX events_by_stream ON planfold.events (aggregate_id, version);
CREATE INDEX events_by_type ON planfold.events (event_type, position)
WHERE event_type NOT IN ('TaskDispatched', 'TaskStatusUpdated', 'StepStarted', 'StepRecorded');
CREATE INDEX events_by_kind ON planfold.events (stream_id, position) WHERE stream_id <> 'plan';

CREATE TABLE planfold.streams (
    aggregate_id text COLLATE "C" PRIMARY KEY,
    stream_id    text COLLATE "C" NOT NULL,
    version      bigint           NOT NULL,
    head         text             NOT NULL,
    due_at       double precision,
    created_at   double precision NOT NULL,
    updated_at   double precision NOT NULL,
    turn         bigint           NOT NULL DEFAULT 0,  -- the last one that a row of the queue got
    status       text             GENERATED ALWAYS AS (nullif(split_part(split_part(head, '"status":"', 2), '"', 1), '')) STORED,
    project      text COLLATE "C" GENERATED ALWAYS AS (coalesce(nullif(split_part(split_part(head, '"project":"', 2), '"', 1), ''), 'default')) STORED,
    tags         text COLLATE "C" GENERATED ALWAYS AS (nullif(split_part(split_part(head, '"tags":[', 2), ']', 1), '')) STORED  -- as in JSON
) WITH (fillfactor = 75);
CREATE INDEX streams_due ON planfold.streams (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX streams_by_kind ON planfold.streams (stream_id, created_at, aggregate_id);
CREATE INDEX streams_by_status ON planfold.streams (stream_id, status, created_at, aggregate_id);
CREATE INDEX streams_by_project ON planfold.streams (stream_id, project, created_at, aggregate_id);
CREATE INDEX streams_by_tags ON planfold.streams (stream_id, created_at, aggregate_id) WHERE tags IS NOT NULL;

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
    claim        bigint,  -- which claim took it, for one who lost the answer
    tool         text COLLATE "C" NOT NULL DEFAULT '',  -- what a worker needs to run it
    priority     integer          NOT NULL DEFAULT 0,  -- higher ones are granted first
    turn         bigint           NOT NULL DEFAULT 0,  -- place in the line of its priority
    crashes      integer          NOT NULL DEFAULT 0,  -- owners that died of it or lost it
    claimed_at   double precision,  -- when the present owner got it
    started_at   double precision,  -- when the first owner got it whose effect may have begun
    limits       text COLLATE "C" NOT NULL DEFAULT ''  -- names of shared limits, with commas between them
) WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE UNIQUE INDEX task_queue_by_stream ON planfold.task_queue (aggregate_id, task_id);
CREATE INDEX task_queue_free ON planfold.task_queue (route, tool, limits, priority DESC, turn, id) WHERE owner IS NULL;
CREATE INDEX task_queue_suspects ON planfold.task_queue (priority DESC, turn, id) WHERE owner IS NULL AND crashes > 1;
CREATE INDEX task_queue_expiring ON planfold.task_queue (expires) WHERE owner IS NOT NULL;
CREATE INDEX task_queue_owned ON planfold.task_queue (owner) WHERE owner IS NOT NULL;
CREATE INDEX task_queue_limited ON planfold.task_queue (expires) WHERE owner IS NOT NULL AND limits <> '';

-- Limits by name over all workers, as the worker that started last declares them.
CREATE TABLE planfold.limits (
    name         text COLLATE "C" PRIMARY KEY,
    starts       integer,  -- tasks that may start in a period; NULL: any number
    period       double precision NOT NULL,  -- seconds
    concurrency  integer,  -- tasks that may run at once; NULL: any number
    closed_until double precision NOT NULL DEFAULT 0  -- a server has asked to wait until then
) WITH (fillfactor = 50);

-- Starts that still count.
CREATE TABLE planfold.limit_starts (
    name text COLLATE "C" NOT NULL,
    at   double precision NOT NULL
);
CREATE INDEX limit_starts_by_time ON planfold.limit_starts (name, at);

CREATE TABLE planfold.commands (
    command_id   text COLLATE "C" PRIMARY KEY,
    aggregate_id text COLLATE "C" NOT NULL,
    body_hash    text             NOT NULL,
    version      bigint           NOT NULL,  -- of the stream after it
    recorded_at  double precision NOT NULL
);
CREATE INDEX commands_by_stream ON planfold.commands (aggregate_id);

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
    retry_at     double precision,  -- NULL: when an operator asks for it
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
    declined    text[]           NOT NULL, -- tools that it found it does not have
    plan_id     text  -- the only plan that it serves; NULL: all
) WITH (fillfactor = 50);

CREATE TABLE planfold.snapshots (
    aggregate_id text COLLATE "C" PRIMARY KEY,
    version      bigint NOT NULL,
    checksum     text   NOT NULL,
    data         bytea  NOT NULL
);

-- What is counted from the log, up to a checkpoint: a cache, rebuilt from the log where it lacks.
-- The position of the row without a name is how often all others were removed.
CREATE TABLE planfold.read_models (
    name       text COLLATE "C" PRIMARY KEY,
    checkpoint text   NOT NULL,  -- store:epoch:position
    position   bigint NOT NULL,
    checksum   text   NOT NULL,
    data       bytea  NOT NULL
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

-- Any number of decisions in one statement, and so in one transaction. Those that may not be
-- written are told in "refusals"; the others are written all the same.
--
-- All appends take locks in the same order, so that no two appends can wait for each other: streams
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
    event_times double precision[],  -- NULL: all at the time of their decision
    -- Rows of the queue that may be there: 'fence', 'settle', 'signal'. Where there is an attempt,
    -- it and the epoch must match.
    touch_of integer[], touch_tasks bigint[], touch_kinds text[], touch_attempts integer[],
    touch_epochs bigint[],
    -- New rows of the queue; those with an owner are leased to it, the others are counted by
    -- "ranks", from 1 in each decision.
    task_of integer[], task_ids bigint[], task_attempts integer[], task_routes text[],
    task_causes bigint[], task_owners text[], task_cancels boolean[], task_tools text[],
    task_priorities integer[], task_ranks integer[], task_limits text[],
    command_of integer[], command_ids text[], command_hashes text[],
    lease_s double precision, clock double precision,
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
    frees   integer[] := '{}';  -- by decision: rows of the queue without an owner,
    firsts  bigint[]  := '{}';  -- the first turn that they may have,
    befores bigint[]  := '{}';  -- and the turn before theirs
    turn    bigint;
    d       integer;
    k       integer;
BEGIN
    at := coalesce(clock, extract(epoch FROM clock_timestamp())::double precision);

    IF array_position(task_owners, NULL) IS NOT NULL THEN
        FOR d, k, turn IN
            WITH entering AS (
                SELECT t.d, t.priority, t.route, t.tool, t.limits, count(*) AS n
                FROM unnest(task_of, task_priorities, task_routes, task_tools, task_limits, task_ranks)
                    AS t (d, priority, route, tool, limits, rank)
                WHERE t.rank > 0 GROUP BY t.d, t.priority, t.route, t.tool, t.limits
            ), lanes AS MATERIALIZED (
                SELECT l.priority, l.route, l.tool, l.limits,
                       planfold.first_turn(l.priority, l.route, l.tool, l.limits) AS first
                FROM (SELECT DISTINCT priority, route, tool, limits FROM entering) l
            )
            SELECT e.d, sum(e.n)::integer, min(l.first)
            FROM entering e JOIN lanes l USING (priority, route, tool, limits) GROUP BY e.d
        LOOP
            frees[d] := k;
            firsts[d] := turn;
        END LOOP;
    END IF;

    -- One decision that needs no other lock takes its stream's by the UPDATE below.
    IF news < n AND (n > 1 OR touch_of IS NOT NULL OR command_of IS NOT NULL) THEN
        IF n = 1 THEN
            SELECT '{1}' INTO held FROM planfold.streams s
            WHERE s.aggregate_id = aggregates[1] AND s.version = expected[1]
              AND s.stream_id = streams[1] FOR NO KEY UPDATE;
        ELSE
            SELECT array_agg(locked.d) INTO held FROM (
                SELECT a.d
                FROM unnest(aggregates, streams, expected) WITH ORDINALITY AS a (id, stream, version, d)
                JOIN planfold.streams s ON s.aggregate_id = a.id AND s.version = a.version
                    AND s.stream_id = a.stream
                ORDER BY s.aggregate_id FOR NO KEY UPDATE OF s
            ) locked;
        END IF;
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
        SELECT array_agg(locked.k) INTO held FROM (
            SELECT t.k
            FROM unnest(touch_of, touch_tasks, touch_attempts, touch_epochs)
                WITH ORDINALITY AS t (d, task, attempt, epoch, k)
            JOIN planfold.task_queue q ON q.aggregate_id = aggregates[t.d] AND q.task_id = t.task
                AND (t.attempt IS NULL OR q.attempt = t.attempt AND q.epoch = t.epoch)
            ORDER BY q.aggregate_id, q.task_id FOR UPDATE OF q
        ) locked;
        IF cardinality(held) IS DISTINCT FROM cardinality(touch_of) THEN
            FOR k IN REVERSE cardinality(touch_of)..1 LOOP
                IF touch_attempts[k] IS NOT NULL AND k <> ALL (coalesce(held, '{}')) THEN
                    d := touch_of[k];
                    refusals := planfold.refuse(refusals, d, 'lease ' || touch_tasks[k] || ' ' || touch_attempts[k], n);
                    refused := refused || d;
                END IF;
            END LOOP;
        END IF;
    END IF;

    IF news > 0 THEN
        WITH added AS (
            INSERT INTO planfold.streams (aggregate_id, stream_id, version, head, due_at, created_at, updated_at, turn)
            SELECT a.id, a.stream, a.count, a.head, a.due, a.decided, a.decided,
                   coalesce(firsts[a.d] - 1 + frees[a.d], 0)
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
        SET version = a.version + a.count, head = a.head, due_at = a.due, updated_at = a.decided,
            turn = coalesce(greatest(s.turn, firsts[a.d] - 1) + frees[a.d], s.turn)
        FROM unnest(aggregates, streams, expected, counts, heads, dues, decided)
            WITH ORDINALITY AS a (id, stream, version, count, head, due, decided, d)
        WHERE s.aggregate_id = a.id AND s.version = a.version AND a.version > 0
          AND s.stream_id = a.stream AND a.d <> ALL (refused);
    ELSIF refused = '{}' THEN
        UPDATE planfold.streams s
        SET version = expected[1] + counts[1], head = heads[1], due_at = dues[1],
            updated_at = decided[1],
            turn = coalesce(greatest(s.turn, firsts[1] - 1) + frees[1], s.turn)
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

    IF cardinality(event_of) = 1 AND n = 1 THEN
        INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type, event_version,
                                     data, metadata, recorded_at, checksum, receipt)
        VALUES (streams[1], aggregates[1], expected[1] + 1, event_types[1], event_versions[1],
                event_data[1], event_metadata[1], coalesce(event_times[1], decided[1]),
                event_checksums[1], receipts[1])
        RETURNING ARRAY[position] INTO positions;
    ELSE
        WITH added AS (
            INSERT INTO planfold.events (stream_id, aggregate_id, version, event_type,
                                         event_version, data, metadata, recorded_at, checksum,
                                         receipt)
            SELECT streams[e.d], aggregates[e.d], e.number, e.type, e.version, e.data, e.metadata,
                   coalesce(e.at, decided[e.d]), e.checksum,
                   CASE e.number WHEN expected[e.d] + 1 THEN receipts[e.d] END
            FROM unnest(event_of, event_numbers, event_types, event_versions, event_data,
                        event_metadata, event_checksums, event_times)
                WITH ORDINALITY AS e (d, number, type, version, data, metadata, checksum, at, k)
            WHERE e.d <> ALL (refused) ORDER BY e.k
            RETURNING position
        ) SELECT array_agg(position) INTO positions FROM added;
    END IF;

    IF 'settle' = ANY (touch_kinds) THEN
        DELETE FROM planfold.task_queue q USING unnest(touch_of, touch_tasks, touch_kinds) AS t (d, task, kind)
        WHERE q.aggregate_id = aggregates[t.d] AND q.task_id = t.task AND t.kind = 'settle'
          AND t.d <> ALL (refused);
    END IF;
    IF 'signal' = ANY (touch_kinds) THEN
        -- What waits and is to stop needs no place: a worker takes it to end it.
        UPDATE planfold.task_queue q
        SET cancel = true, limits = CASE WHEN q.owner IS NULL THEN '' ELSE q.limits END
        FROM unnest(touch_of, touch_tasks, touch_kinds) AS t (d, task, kind)
        WHERE q.aggregate_id = aggregates[t.d] AND q.task_id = t.task AND t.kind = 'signal'
          AND t.d <> ALL (refused);
    END IF;
    IF task_of IS NOT NULL THEN
        IF frees <> '{}' THEN
            FOR d, turn IN SELECT a.d, s.turn FROM unnest(aggregates) WITH ORDINALITY AS a (id, d)
                           JOIN planfold.streams s ON s.aggregate_id = a.id
                           WHERE frees[a.d] IS NOT NULL LOOP
                befores[d] := turn - frees[d];
            END LOOP;
        END IF;
        INSERT INTO planfold.task_queue (aggregate_id, task_id, attempt, route, cause, owner, epoch, starts, expires, cancel,
                                         tool, priority, limits, turn, claimed_at, started_at)
        SELECT aggregates[t.d], t.task, t.attempt, t.route, t.cause, t.owner,
               (t.owner IS NOT NULL)::integer, (t.owner IS NOT NULL)::integer,
               CASE WHEN t.owner IS NOT NULL THEN greatest(at, decided[t.d]) + lease_s END,
               t.cancel, t.tool, t.priority, t.limits, coalesce(befores[t.d] + t.rank, 0),
               CASE WHEN t.owner IS NOT NULL THEN greatest(at, decided[t.d]) END,
               CASE WHEN t.owner IS NOT NULL THEN greatest(at, decided[t.d]) END
        FROM unnest(task_of, task_ids, task_attempts, task_routes, task_causes, task_owners,
                    task_cancels, task_tools, task_priorities, task_ranks, task_limits)
            WITH ORDINALITY AS t (d, task, attempt, route, cause, owner, cancel, tool, priority, rank, limits, k)
        WHERE t.d <> ALL (refused) ORDER BY t.k;
    END IF;
END
$$;

CREATE FUNCTION planfold.refuse(refusals text[], d integer, reason text, n integer)
RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    refusals := coalesce(refusals, array_fill(NULL::text, ARRAY[n]));
    refusals[d] := reason;
    RETURN refusals;
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

-- The same for what most appends are: one decision which rests on one lease at most, and enqueues
-- no task under a limit. Nothing is written where the stream is at another version ("last" is NULL),
-- and where the lease is lost or the stream is archived (PF001). Then planfold.append tells why.
--
-- Most of these have one or two events and enqueue one task at most. Arrays of one element would
-- cost a third of the time, so only what comes after them is in arrays; NULL: there is no more.
CREATE FUNCTION planfold.append_one(
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

-- The first turn that is free in a lane of the queue; where there is none, in any lane of this
-- priority; where there is none either, the position of the next event. See turns.py of SQLite.
CREATE FUNCTION planfold.first_turn(its_priority integer, its_route text, its_tool text, its_limits text)
RETURNS bigint LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    found bigint;
BEGIN
    SELECT turn INTO found FROM planfold.task_queue
    WHERE owner IS NULL AND route = its_route AND tool = its_tool AND limits = its_limits
      AND priority = its_priority
    ORDER BY turn LIMIT 1;
    IF found IS NULL THEN
        WITH RECURSIVE lanes AS (
            (SELECT route, tool, limits FROM planfold.task_queue WHERE owner IS NULL
             ORDER BY route, tool, limits LIMIT 1)
            UNION ALL
            SELECT n.route, n.tool, n.limits FROM lanes l CROSS JOIN LATERAL (
                SELECT q.route, q.tool, q.limits FROM planfold.task_queue q
                WHERE q.owner IS NULL AND (q.route, q.tool, q.limits) > (l.route, l.tool, l.limits)
                ORDER BY q.route, q.tool, q.limits LIMIT 1
            ) n
        )
        SELECT min((
            SELECT q.turn FROM planfold.task_queue q
            WHERE q.owner IS NULL AND q.route = l.route AND q.tool = l.tool AND q.limits = l.limits
              AND q.priority = its_priority
            ORDER BY q.turn LIMIT 1
        )) INTO found FROM lanes l;
    END IF;
    RETURN coalesce(found, (SELECT last_value FROM planfold.events_position_seq) + 1);
END
$$;

-- The limits at a time: the starts that count then, each for its period and "grace" seconds, the
-- tasks that are held under them, and how many may start. See places.py of SQLite.
CREATE FUNCTION planfold.limit_states(as_of double precision, grace double precision)
RETURNS TABLE (
    name text, starts integer, period double precision, concurrency integer, started bigint,
    held bigint, opens_at double precision, closed_until double precision, places bigint
)
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT l.name, l.starts, l.period, l.concurrency, coalesce(s.started, 0),
        coalesce(h.held, 0), coalesce(f.opens_at, 0), c.closed_until,
        CASE WHEN c.closed_until > 0 THEN 0
             ELSE greatest(least(l.starts - coalesce(s.started, 0),
                                 l.concurrency - coalesce(h.held, 0)), 0) END
    FROM planfold.limits l
    CROSS JOIN LATERAL (  -- not where the clock was set back since
        SELECT CASE WHEN l.closed_until > as_of AND l.closed_until <= as_of + 86400
                    THEN l.closed_until ELSE 0 END AS closed_until
    ) c
    LEFT JOIN LATERAL (
        SELECT count(*) AS started FROM planfold.limit_starts o
        WHERE o.name = l.name AND o.at > as_of - l.period - grace AND l.starts IS NOT NULL
    ) s ON true
    LEFT JOIN LATERAL (  -- the one that has to be over first
        SELECT least(o.at, as_of) + l.period + grace AS opens_at FROM planfold.limit_starts o
        WHERE o.name = l.name AND o.at > as_of - l.period - grace AND s.started >= l.starts
        ORDER BY o.at LIMIT 1 OFFSET greatest(s.started - l.starts, 0)
    ) f ON true
    LEFT JOIN LATERAL (
        SELECT count(*) AS held FROM planfold.task_queue q
        WHERE q.owner IS NOT NULL AND q.limits <> '' AND q.expires >= as_of
          AND l.name = ANY (string_to_array(q.limits, ','))
    ) h ON true
    ORDER BY l.name;
END
$$;

-- Whether each of these limits has a place.
CREATE FUNCTION planfold.has_places(limits text, at double precision, grace double precision)
RETURNS boolean LANGUAGE sql AS $$
    SELECT NOT EXISTS (
        SELECT FROM unnest(string_to_array(limits, ',')) AS w (name)
        LEFT JOIN planfold.limit_states(at, grace) s ON s.name = w.name
        WHERE coalesce(s.places, 0) < 1
    )
$$;

-- A claim where tasks under limits are among those that it may take; see the statement "claim".
-- The limits are locked first, so that claims take their places one after the other; what is
-- counted comes from later statements.
CREATE FUNCTION planfold.claim_limited(
    who text, clock double precision, lease_s double precision, most integer, without text[],
    barred text[], token bigint, only_routes text[], only_stream text, suspects text,
    grace double precision
) RETURNS SETOF planfold.task_queue LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET lock_timeout = '5s'
AS $$
DECLARE
    now_at  double precision;
    names   text[];
    places  bigint[];
    taken   bigint[];
    ids     bigint[] := '{}';
    wanted  integer[];  -- the places of its limits in "names"
    one     record;
    k       integer;
BEGIN
    PERFORM FROM planfold.limits ORDER BY name FOR UPDATE;
    now_at := coalesce(clock, extract(epoch FROM clock_timestamp())::double precision);
    SELECT coalesce(array_agg(s.name), '{}'), coalesce(array_agg(s.places), '{}') INTO names, places
    FROM planfold.limit_states(now_at, grace) s;
    taken := array_fill(0::bigint, ARRAY[cardinality(names)]);
    IF suspects = 'only' AND EXISTS (SELECT FROM planfold.task_queue WHERE owner = who)
       OR suspects = 'no' AND EXISTS (
           SELECT FROM planfold.task_queue WHERE owner = who AND crashes > 1
       ) THEN
        RETURN;
    END IF;
    FOR one IN
        WITH RECURSIVE lanes AS (
            (SELECT route, tool, limits FROM planfold.task_queue
             WHERE owner IS NULL AND suspects IS DISTINCT FROM 'only'
             ORDER BY route, tool, limits LIMIT 1)
            UNION ALL
            SELECT n.route, n.tool, n.limits FROM lanes l CROSS JOIN LATERAL (
                SELECT q.route, q.tool, q.limits FROM planfold.task_queue q
                WHERE q.owner IS NULL AND (q.route, q.tool, q.limits) > (l.route, l.tool, l.limits)
                ORDER BY q.route, q.tool, q.limits LIMIT 1
            ) n
        ), served AS (
            SELECT l.route, l.tool, l.limits FROM lanes l
            WHERE (only_routes IS NULL OR l.route = ANY (only_routes)) AND l.tool <> ALL (without)
              AND NOT EXISTS (
                  SELECT FROM unnest(string_to_array(l.limits, ',')) AS w (name)
                  WHERE coalesce(places[array_position(names, w.name)], 0) < 1
              )
        ), free AS (
            SELECT f.id, f.priority, f.turn, l.limits FROM served l CROSS JOIN LATERAL (
                SELECT q.id, q.priority, q.turn FROM planfold.task_queue q
                WHERE q.owner IS NULL AND q.route = l.route AND q.tool = l.tool
                  AND q.limits = l.limits
                  AND (only_stream IS NULL OR q.aggregate_id = only_stream
                   OR (q.aggregate_id > only_stream || '.' AND q.aggregate_id < only_stream || '/'))
                  AND q.aggregate_id <> ALL (barred) AND (q.crashes <= 1 OR suspects IS NULL)
                ORDER BY q.priority DESC, q.turn, q.id LIMIT most + 16  -- others may lock some
            ) f
        ), alone AS (
            SELECT q.id, q.priority, q.turn, q.limits FROM planfold.task_queue q
            WHERE q.owner IS NULL AND q.crashes > 1 AND suspects = 'only'
              AND (only_routes IS NULL OR q.route = ANY (only_routes)) AND q.tool <> ALL (without)
              AND (only_stream IS NULL OR q.aggregate_id = only_stream
                   OR (q.aggregate_id > only_stream || '.' AND q.aggregate_id < only_stream || '/'))
              AND q.aggregate_id <> ALL (barred)
        ), lost AS (
            SELECT q.id, q.priority, q.turn,
                   CASE WHEN q.cancel THEN '' ELSE q.limits END AS limits
            FROM planfold.task_queue q
            WHERE q.owner IS NOT NULL AND q.owner <> who AND q.expires < now_at
              AND CASE suspects WHEN 'only' THEN q.crashes > 0 WHEN 'no' THEN q.crashes = 0
                  ELSE true END
              AND (only_routes IS NULL OR q.route = ANY (only_routes)) AND q.tool <> ALL (without)
              AND (only_stream IS NULL OR q.aggregate_id = only_stream
                   OR (q.aggregate_id > only_stream || '.' AND q.aggregate_id < only_stream || '/'))
              AND q.aggregate_id <> ALL (barred)
        )
        SELECT f.id, f.limits FROM (TABLE free UNION ALL TABLE alone UNION ALL TABLE lost) f
        ORDER BY f.priority DESC, f.turn, f.id
    LOOP
        EXIT WHEN cardinality(ids) >= most;
        SELECT coalesce(array_agg(array_position(names, w.name)), '{}') INTO wanted
        FROM unnest(string_to_array(one.limits, ',')) AS w (name);
        CONTINUE WHEN EXISTS (
            SELECT FROM unnest(wanted) AS w (k) WHERE coalesce(places[w.k] - taken[w.k], 0) < 1
        );
        PERFORM FROM planfold.task_queue q
        WHERE q.id = one.id AND (q.owner IS NULL OR q.owner <> who AND q.expires < now_at)
        FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        FOREACH k IN ARRAY wanted LOOP
            taken[k] := taken[k] + 1;
        END LOOP;
        ids := ids || one.id;
    END LOOP;

    FOR k IN 1..cardinality(names) LOOP
        IF taken[k] > 0 THEN
            SELECT period INTO one FROM planfold.limits WHERE name = names[k] AND starts IS NOT NULL;
            CONTINUE WHEN NOT FOUND;
            UPDATE planfold.limit_starts SET at = now_at  -- the clock was set back
            WHERE name = names[k] AND at > now_at;
            DELETE FROM planfold.limit_starts
            WHERE name = names[k] AND at <= now_at - one.period - grace;
            INSERT INTO planfold.limit_starts (name, at)
            SELECT names[k], now_at FROM generate_series(1, taken[k]);
        END IF;
    END LOOP;
    RETURN QUERY UPDATE planfold.task_queue q
    SET owner = who, epoch = q.epoch + 1, starts = q.starts + 1, claim = token,
        crashes = q.crashes + (q.owner IS NOT NULL)::integer, expires = now_at + lease_s,
        claimed_at = now_at, started_at = CASE WHEN q.starts = 0 THEN now_at ELSE q.started_at END
    WHERE q.id = ANY (ids)
    RETURNING q.*;
END
$$;

-- What the feed asks. A plan of a statement outlives the table it was made for; without the
-- settings one made for an almost empty log would go on sorting the whole of it when it has grown.

-- See horizon.py. What pg_locks shows is younger than the snapshot of the statement. "always": look
-- at the locks even if there is no gap.
CREATE FUNCTION planfold.look_at_log(
    after bigint, always boolean, OUT upto bigint, OUT highest bigint, OUT holders text[]
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
BEGIN
    WITH above AS MATERIALIZED (
        SELECT position, after + row_number() OVER (ORDER BY position) AS without_gap
        FROM planfold.events WHERE position > after ORDER BY position LIMIT 1024
    ), prefix AS MATERIALIZED (
        SELECT coalesce(max(a.position) FILTER (WHERE a.position = a.without_gap), after) AS last,
               coalesce((SELECT max(position) FROM planfold.events), 0) AS newest
        FROM above a
    )
    SELECT p.last, p.newest, CASE WHEN p.last < p.newest OR always THEN ARRAY(
        SELECT virtualtransaction || ':' || coalesce(pid::text, '') FROM pg_locks
        WHERE locktype = 'relation' AND relation = 'planfold.events'::regclass
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND mode = 'RowExclusiveLock' AND granted
    ) END INTO upto, highest, holders FROM prefix p;
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

-- Streams among the next events, and how many of these are theirs.
CREATE FUNCTION planfold.grown(after bigint, most bigint)
RETURNS TABLE (aggregate_id text, version bigint, events bigint)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT aggregate_id, max(version), count(*) FROM (
        SELECT aggregate_id, version FROM planfold.events WHERE position > after
        ORDER BY position LIMIT most
    ) AS latest GROUP BY aggregate_id;
END
$$;
