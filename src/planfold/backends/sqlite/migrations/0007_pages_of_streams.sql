-- For lists by age and status.
ALTER TABLE streams ADD COLUMN status TEXT GENERATED ALWAYS AS (iif(json_valid(head), head ->> '$.status', NULL)) VIRTUAL;
CREATE INDEX streams_by_kind ON streams (stream_id, created_at, aggregate_id);
CREATE INDEX streams_by_status ON streams (stream_id, status, created_at, aggregate_id);
