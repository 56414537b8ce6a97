-- Over all that a row says, see planfold/eventstore/event_rows.py; NULL in rows that are older.
ALTER TABLE planfold.events ADD COLUMN checksum integer;

-- Reads of one event type or of one kind of stream do not scan the log.
CREATE INDEX events_by_type ON planfold.events (event_type, position)
WHERE event_type NOT IN ('TaskDispatched', 'TaskStatusUpdated', 'StepStarted', 'StepRecorded');
CREATE INDEX events_by_kind ON planfold.events (stream_id, position) WHERE stream_id <> 'plan';

-- The writer now says when a decision was made, because the checksum covers it, and of which kind
-- the stream is. The next step makes planfold.append and planfold.append_one.
DROP FUNCTION planfold.append;
DROP FUNCTION planfold.append_one;
DROP FUNCTION planfold.explain_refusals;
DROP FUNCTION planfold.feed_page;

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
