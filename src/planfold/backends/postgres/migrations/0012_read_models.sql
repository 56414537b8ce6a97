-- What is counted from the log, up to a checkpoint: a cache, rebuilt from the log where it lacks.
CREATE TABLE planfold.read_models (
    name       text COLLATE "C" PRIMARY KEY,
    checkpoint text   NOT NULL,  -- store:epoch:position
    position   bigint NOT NULL,
    checksum   text   NOT NULL,
    data       bytea  NOT NULL
);
