-- The same values without regular expressions, which took a tenth of the server's time of an append.
DROP INDEX planfold.streams_by_status;
DROP INDEX planfold.streams_by_project;
ALTER TABLE planfold.streams DROP COLUMN status, DROP COLUMN project;
ALTER TABLE planfold.streams
    ADD COLUMN status text
        GENERATED ALWAYS AS (nullif(split_part(split_part(head, '"status":"', 2), '"', 1), '')) STORED,
    ADD COLUMN project text COLLATE "C"
        GENERATED ALWAYS AS (coalesce(nullif(split_part(split_part(head, '"project":"', 2), '"', 1), ''), 'default')) STORED;
CREATE INDEX streams_by_status ON planfold.streams (stream_id, status, created_at, aggregate_id);
CREATE INDEX streams_by_project ON planfold.streams (stream_id, project, created_at, aggregate_id);
