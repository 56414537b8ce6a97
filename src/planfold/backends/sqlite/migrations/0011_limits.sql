-- Limits by name over all workers: the names are a part of the lane, so that a limit that is used up holds back its own tasks only.
ALTER TABLE task_queue ADD COLUMN limits TEXT NOT NULL DEFAULT '';
DROP INDEX task_queue_free;
CREATE INDEX task_queue_free ON task_queue (route, tool, limits, priority DESC, turn) WHERE owner IS NULL;
CREATE INDEX task_queue_limited ON task_queue (limits, owner, expires) WHERE owner IS NOT NULL AND limits <> '';

CREATE TABLE limits (
    name         TEXT    PRIMARY KEY,
    starts       INTEGER,  -- tasks that may start in a period; NULL: any number
    period       REAL    NOT NULL,  -- seconds
    concurrency  INTEGER,  -- tasks that may run at once; NULL: any number
    closed_until REAL    NOT NULL DEFAULT 0  -- a server has asked to wait until then
) WITHOUT ROWID;

CREATE TABLE limit_starts (
    name TEXT NOT NULL,
    at   REAL NOT NULL
);
CREATE INDEX limit_starts_by_time ON limit_starts (name, at);
