ALTER TABLE task_queue ADD COLUMN tool TEXT NOT NULL DEFAULT '';
ALTER TABLE task_queue ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task_queue ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task_queue ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task_queue ADD COLUMN claimed_at REAL;
ALTER TABLE task_queue ADD COLUMN started_at REAL;
UPDATE task_queue SET tool = route;
UPDATE task_queue SET turn = waiting.turn FROM (
    SELECT id, row_number() OVER (PARTITION BY aggregate_id ORDER BY id) AS turn
    FROM task_queue WHERE owner IS NULL
) AS waiting WHERE task_queue.id = waiting.id;
ALTER TABLE streams ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
UPDATE streams SET turn = waiting.last FROM (
    SELECT aggregate_id, max(turn) AS last FROM task_queue GROUP BY aggregate_id
) AS waiting WHERE streams.aggregate_id = waiting.aggregate_id;

DROP INDEX task_queue_free;
CREATE INDEX task_queue_free ON task_queue (route, tool, priority DESC, turn) WHERE owner IS NULL;
CREATE INDEX task_queue_suspects ON task_queue (priority DESC, turn) WHERE owner IS NULL AND crashes > 1;
DROP INDEX task_queue_owned;
CREATE INDEX task_queue_owned ON task_queue (owner, expires) WHERE owner IS NOT NULL;

ALTER TABLE workers ADD COLUMN plan_id TEXT;
