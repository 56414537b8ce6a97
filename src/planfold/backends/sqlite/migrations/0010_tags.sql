-- For lists by tag: the index has the tags of the plans that have any.
ALTER TABLE streams ADD COLUMN tags TEXT GENERATED ALWAYS AS (iif(json_valid(head), head ->> '$.tags', NULL)) VIRTUAL;
CREATE INDEX streams_by_tags ON streams (stream_id, created_at, aggregate_id, tags) WHERE tags IS NOT NULL;
