"""``Address``: where the database is, as asyncpg wants it and as people may see it."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec

from planfold.errors import ConfigurationError

SCHEMES = ("postgresql", "postgres")
FORM = "postgresql://user:password@host:port/database"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%a-z]+\]|[^\s:@/\[\]]*)(:\d{1,5})?")


class Address(msgspec.Struct, frozen=True):
    """``dsn`` is for asyncpg, ``shown`` has neither password nor parameters. ``pooled``: there is
    a pooler in transaction mode in between, so that nothing may outlive a transaction.
    ``listen_dsn`` bypasses it; None: there is no direct address. ``notify_s``: how long messages
    to other processes are gathered before they are sent, in seconds."""

    dsn: str
    shown: str
    pooled: bool = False
    listen_dsn: str | None = None
    notify_s: float = 0.02

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def parse_address(text: str) -> Address:
    """Read ``postgresql://user:password@host:port/database?parameters``. planfold's own are
    ``pooled=true`` and, beside it, ``listen=host:port`` (where the server itself answers), and
    ``notify_ms=20``; all other parameters are those of asyncpg and the server.

    Raises:
        ConfigurationError: it is malformed. The message holds nothing of it, because what looks
            like a host may be a piece of the password.
    """
    try:
        parts = urlsplit(text)
    except ValueError:  # a [ without its ]
        parts = urlsplit("")
    user, at, hosts = parts.netloc.rpartition("@")
    well_formed = (
        parts.scheme in SCHEMES
        and "@" not in parts.path + parts.query + user
        and not parts.fragment
        and all(_HOST.fullmatch(host) for host in hosts.split(","))
    )
    if not well_formed:
        raise ConfigurationError(
            f"the database address is malformed; write {FORM}, with special characters of the "
            "password as %xx (a / is %2F, an @ is %40)"
        )
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    pooled = _boolean("pooled", parameters.pop("pooled", "false"))
    direct = parameters.pop("listen", None)
    notify_s = _milliseconds("notify_ms", parameters.pop("notify_ms", "20"))
    parameters.setdefault("application_name", "planfold")
    if "," in hosts or "," in parameters.get("host", ""):
        parameters.setdefault("target_session_attrs", "primary")
    parts = parts._replace(scheme="postgresql", query=urlencode(parameters, quote_via=quote))
    dsn = listen_dsn = parts.geturl()
    if direct is not None:
        if not _HOST.fullmatch(direct):
            raise ConfigurationError("the address's parameter listen must be host:port")
        listen_dsn = parts._replace(netloc=f"{user}{at}{direct}").geturl()
    name = user.partition(":")[0]
    shown = f"postgresql://{name}{at}{hosts or parameters.get('host', '')}{parts.path}"
    known = None if pooled and direct is None else listen_dsn
    return Address(dsn, unquote(shown), pooled, known, notify_s)


def _boolean(name: str, value: str) -> bool:
    known = {"true": True, "1": True, "": True, "false": False, "0": False}
    if value.lower() not in known:
        raise ConfigurationError(f"the address's parameter {name} must be true or false")
    return known[value.lower()]


def _milliseconds(name: str, value: str) -> float:
    if not value.isdecimal() or not value.isascii() or len(value) > 6:
        raise ConfigurationError(f"the address's parameter {name} must be a number of milliseconds")
    return int(value) / 1000
