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

-- The first matching events in after < position <= upto; "upto" NULL: without a limit.
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
    IF aggregate IS NULL THEN
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
