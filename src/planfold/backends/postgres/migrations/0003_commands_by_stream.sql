-- A stream that is exported or archived takes its command ids along.
CREATE INDEX commands_by_stream ON planfold.commands (aggregate_id);
