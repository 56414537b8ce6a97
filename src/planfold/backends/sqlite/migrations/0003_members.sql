-- The members of a consumer's group that live. A partition is leased to its owner for as long as
-- the owner is here, so that one row per member is renewed and not one per partition.
CREATE TABLE members (
    consumer TEXT NOT NULL,
    owner    TEXT NOT NULL,
    expires  REAL NOT NULL,
    PRIMARY KEY (consumer, owner)
) WITHOUT ROWID;
ALTER TABLE consumers DROP COLUMN expires;

-- When the stream is tried again; NULL: when somebody asks for it.
ALTER TABLE parked ADD COLUMN retry_at REAL;
CREATE INDEX parked_retrying ON parked (consumer) WHERE retry_at IS NOT NULL;
