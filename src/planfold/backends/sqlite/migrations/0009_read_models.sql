-- What is counted from the log, up to a checkpoint: a cache, rebuilt from the log where it lacks.
CREATE TABLE read_models (
    name       TEXT    PRIMARY KEY,
    checkpoint TEXT    NOT NULL,  -- store:epoch:position
    position   INTEGER NOT NULL,
    checksum   TEXT    NOT NULL,
    data       BLOB    NOT NULL
);
