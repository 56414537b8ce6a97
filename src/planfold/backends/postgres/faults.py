"""Errors of asyncpg and the network, converted to planfold's, with the remedy."""

from __future__ import annotations

import socket
from typing import NamedTuple

import asyncpg

from planfold.backends.postgres.address import Address
from planfold.errors import (
    ConfigurationError,
    CorruptLog,
    Permanent,
    PlanfoldError,
    Transient,
)

NEEDED = "planfold needs PostgreSQL 14 or newer"

_LOST = (
    OSError,  # TimeoutError is one
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ProtocolViolationError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.exceptions.OutdatedSchemaCacheError,
)


def is_lost(fault: BaseException) -> bool:
    """Whether the connection is lost or unusable; the statement may have been executed. Never true
    for errors in the statement itself."""
    # Of asyncpg's own errors those that are ValueErrors are about what it was given.
    return isinstance(fault, _LOST) and not isinstance(fault, ValueError)


def is_of_replica(fault: BaseException) -> bool:
    """Whether the server is a read-only replica, and a new connection may reach another one: after
    a failover the address leads to the new primary."""
    return isinstance(fault, asyncpg.ReadOnlySQLTransactionError)


def is_passing(fault: BaseException) -> bool:
    """Whether nothing was executed, and a retry at once may succeed."""
    return isinstance(fault, (asyncpg.DeadlockDetectedError, asyncpg.SerializationError))


def translate(fault: BaseException, address: Address) -> PlanfoldError:
    """The planfold error to raise instead of ``fault``."""
    if isinstance(fault, PlanfoldError):
        return fault
    if isinstance(fault, asyncpg.PostgresError):
        return _of_server(fault, address)
    if isinstance(fault, asyncpg.InterfaceError) and isinstance(fault, ValueError):
        if isinstance(fault, asyncpg.ClientConfigurationError):
            return ConfigurationError(f"the address of {address.shown} is not usable: {fault}")
        return Permanent(f"{address.shown}: a value cannot be stored: {_short(fault)}")
    return _of_network(fault, address)


def _of_network(fault: BaseException, address: Address) -> PlanfoldError:
    where = address.shown
    match fault:
        case socket.gaierror():
            return Transient(f"cannot find the host of {where} ({fault.strerror}); is it right?")
        case ConnectionRefusedError() | FileNotFoundError():
            return Transient(f"connection refused by {where}; is the PostgreSQL server running?")
        case TimeoutError():
            return Transient(f"{where} did not answer in time")
        case PermissionError():
            return ConfigurationError(f"{where}: {_short(fault)}")
        case asyncpg.TargetServerAttributeNotMatched():
            return Transient(f"none of the hosts of {where} accepts writes")
        case _:
            return Transient(f"the connection to {where} is lost: {_short(fault)}")


class _Meaning(NamedTuple):
    """What errors of the server mean; ``words`` is a template."""

    faults: type[asyncpg.PostgresError] | tuple[type[asyncpg.PostgresError], ...]
    error: type[PlanfoldError]
    words: str


_OF_SERVER = (  # the first that fits
    _Meaning(
        asyncpg.InvalidPasswordError,
        ConfigurationError,
        "{where}: the password is missing or wrong",
    ),
    _Meaning(
        asyncpg.InvalidAuthorizationSpecificationError,
        ConfigurationError,
        "{where} rejects this user: {said}",
    ),
    _Meaning(
        asyncpg.InvalidCatalogNameError,
        ConfigurationError,
        "{where}: {said}; make it with `createdb`, or name another",
    ),
    _Meaning(
        asyncpg.ReadOnlySQLTransactionError,
        ConfigurationError,
        "{where} is read-only (a replica?); planfold needs to write it: name the primary",
    ),
    _Meaning(
        asyncpg.InsufficientPrivilegeError,
        ConfigurationError,
        "{where}: {said}; the user needs all rights on the schema",
    ),
    _Meaning(
        asyncpg.TooManyConnectionsError,
        Transient,
        "{where} has no connection left ({said}); raise max_connections, or put a pooler in "
        "between and add ?pooled=true to the address",
    ),
    _Meaning(
        asyncpg.DiskFullError,
        Transient,
        "the disk of {where} is full; nothing was written, free some space",
    ),
    _Meaning(
        asyncpg.LockNotAvailableError,
        Transient,
        "{where}: another session holds a lock on these rows; try again",
    ),
    _Meaning(
        (asyncpg.DataError, asyncpg.ProgramLimitExceededError),
        Permanent,
        "{where}: a value cannot be stored: {said}",
    ),
    _Meaning(
        asyncpg.IntegrityConstraintViolationError,
        CorruptLog,
        "{where} contains data that planfold did not write: {said}",
    ),
    _Meaning(
        (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError),
        CorruptLog,
        "{where} is damaged ({said}); restore it from a backup",
    ),
    _Meaning(
        (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError),
        ConfigurationError,
        "{where}: {said}; if there is a pooler in transaction mode in between, add ?pooled=true "
        "to the address",
    ),
    _Meaning(
        (asyncpg.SyntaxOrAccessError, asyncpg.InvalidSchemaNameError),
        ConfigurationError,
        "{where} lacks something of planfold's schema ({said}); was it changed by hand, or is "
        "this planfold older than the schema?",
    ),
    _Meaning(asyncpg.CannotConnectNowError, Transient, "{where} is not ready: {said}"),
    _Meaning(asyncpg.PostgresError, Transient, "{where}: {said}"),
)


def _of_server(fault: asyncpg.PostgresError, address: Address) -> PlanfoldError:
    found = next(meaning for meaning in _OF_SERVER if isinstance(fault, meaning.faults))
    return found.error(found.words.format(where=address.shown, said=_short(fault)))


def _short(fault: BaseException, most: int = 300) -> str:
    text = " ".join(str(fault).split()) or type(fault).__name__
    return text if len(text) <= most else f"{text[:most]} ..."
