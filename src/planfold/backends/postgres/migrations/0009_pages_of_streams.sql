-- For lists by status. A column of its own, so that an update that leaves the status as it is touches
-- no index; found as text, because a head may hold what PostgreSQL's json cannot.
ALTER TABLE planfold.streams ADD COLUMN status text
    GENERATED ALWAYS AS (substring(head, '"status":"([a-z_]+)"')) STORED;
CREATE INDEX streams_by_status ON planfold.streams (stream_id, status, created_at, aggregate_id);
