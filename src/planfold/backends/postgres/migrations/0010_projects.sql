-- For lists by project; as for the status, found as text.
ALTER TABLE planfold.streams ADD COLUMN project text COLLATE "C"
    GENERATED ALWAYS AS (coalesce(substring(head, '"project":"([A-Za-z0-9._-]+)"'), 'default')) STORED;
CREATE INDEX streams_by_project ON planfold.streams (stream_id, project, created_at, aggregate_id);
