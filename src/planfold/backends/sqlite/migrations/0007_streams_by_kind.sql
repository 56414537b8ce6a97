-- Lists of plans are read a page at a time, newest first.
CREATE INDEX streams_by_kind ON streams (stream_id, created_at, aggregate_id);
