-- For lists by tag: the index has the plans that have any. The tags are found as text, without a regular expression, which
-- would cost more on each append.
ALTER TABLE planfold.streams ADD COLUMN tags text COLLATE "C" GENERATED ALWAYS AS (nullif(split_part(split_part(head, '"tags":[', 2), ']', 1), '')) STORED;
CREATE INDEX streams_by_tags ON planfold.streams (stream_id, created_at, aggregate_id) WHERE tags IS NOT NULL;
