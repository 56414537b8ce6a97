-- Over all that a row says, see planfold/eventstore/event_rows.py; NULL in rows that are older.
ALTER TABLE events ADD COLUMN checksum INTEGER;

-- Reads of one event type or of one kind of stream do not scan the log; an index holds the position too.
-- What most of a log consists of is found as fast by reading on, and is not indexed: see names.py.
CREATE INDEX events_by_type ON events (event_type)
WHERE event_type <> 'TaskDispatched' AND event_type <> 'TaskStatusUpdated'
  AND event_type <> 'StepStarted' AND event_type <> 'StepRecorded';
CREATE INDEX events_by_kind ON events (stream_id) WHERE stream_id <> 'plan';
