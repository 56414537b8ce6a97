"""PostgreSQL behind the ports of ``planfold.eventstore``; needs the extra ``postgres``."""

from planfold.errors import extra_missing

try:
    import asyncpg as asyncpg
except ImportError as fault:
    raise extra_missing("a PostgreSQL database", "postgres", fault) from None
