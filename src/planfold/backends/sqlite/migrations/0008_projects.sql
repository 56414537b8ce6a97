-- For lists by project.
ALTER TABLE streams ADD COLUMN project TEXT GENERATED ALWAYS AS (ifnull(iif(json_valid(head), head ->> '$.project', NULL), 'default')) VIRTUAL;
CREATE INDEX streams_by_project ON streams (stream_id, project, created_at, aggregate_id);
