-- There is one order of appends: they take no common lock, and the feed waits at gaps. The argument
-- "strict" of append and append_one is always false; the next change of these functions drops it.
DELETE FROM planfold.meta WHERE key = 'order';
