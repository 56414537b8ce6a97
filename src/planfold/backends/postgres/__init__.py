"""PostgreSQL behind the ports of ``planfold.eventstore``; needs the extra ``postgres``."""

from planfold.errors import ConfigurationError

try:
    import asyncpg as asyncpg
except ImportError:
    raise ConfigurationError(
        "a PostgreSQL database needs asyncpg: install planfold with the extra postgres"
    ) from None
