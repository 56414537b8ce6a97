-- What was cancelled before a worker claimed it begins nothing, so it waits for no limit.
CREATE FUNCTION planfold.leave_limits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.limits := '';
    RETURN NEW;
END
$$;

CREATE TRIGGER task_queue_cancelled BEFORE UPDATE OF cancel ON planfold.task_queue
FOR EACH ROW WHEN (NEW.cancel AND NEW.owner IS NULL AND NEW.limits <> '')
EXECUTE FUNCTION planfold.leave_limits();
