-- Over all that a row says, see planfold/eventstore/checksum.py; NULL in rows that are older.
ALTER TABLE events ADD COLUMN checksum INTEGER;

-- Reads of one event type or of one kind of stream do not scan the log.
CREATE INDEX events_by_type ON events (event_type);
CREATE INDEX events_by_kind ON events (stream_id);
