"""The engine and its one pool, the declarative base every slice maps on, and what Postgres errors mean to us."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import orjson
from sqlalchemy import MetaData
from sqlalchemy.exc import DBAPIError, EmulatedDBAPIException
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from marketd.kernel.db.driver import DriverConnection

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

Record: TypeAlias = asyncpg.Record


DIALECT = "postgresql+asyncpg://"
"""The URL of an engine whose connections come from `connector`."""
# PostgreSQL indents what goes on in further lines.
_DETAIL = re.compile(r"\s*\bDETAIL:.*(?:\n[ \t]+.*)*")


class Base(DeclarativeBase):
    """The base of every mapped table; the naming convention lets migrations name what they drop."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def create_engine(url: str, *, pool_size: int = 20, pool_timeout_seconds: float = 1.0) -> AsyncEngine:
    """The engine for a plain `postgresql://` URL, which may say what asyncpg understands (`?sslmode=verify-full`).

    On its connections JSON goes in as text and comes out as Python values: SQLAlchemy installs that codec.
    Waiting for a connection is short on purpose: a full pool is overload, and the caller learns it at once. The
    server-side limits are backstops for what no statement_timeout of a unit of work covers.
    """
    return create_async_engine(
        DIALECT,
        async_creator=connector(
            url,
            timeout=2,
            command_timeout=30,
            server_settings={
                "application_name": "marketd",
                "statement_timeout": "30000",
                "idle_in_transaction_session_timeout": "5000",
                "timezone": "UTC",
            },
        ),
        # Errors are logged, and parameters are people's names and addresses.
        hide_parameters=True,
        json_deserializer=orjson.loads,
        pool_size=pool_size,
        # No overflow: those connections are closed when they come back, and the transactor hands back without I/O.
        max_overflow=0,
        pool_timeout=pool_timeout_seconds,
        pool_use_lifo=True,
        pool_recycle=1800,
    )


def connector(url: str, **options: Any) -> Callable[[], Awaitable[Connection]]:
    """What SQLAlchemy calls for a connection: the driver reads the URL itself.

    Through SQLAlchemy its parameters would become arguments, and the driver has none called `sslmode`.
    """

    async def connect() -> Connection:
        return await asyncpg.connect(url, connection_class=DriverConnection, **options)

    return connect


def in_short(error: Exception) -> str:
    """The error as tables keep it: its type and its text, at most 500 characters, nothing of anybody's row."""
    return f"{type(error).__name__}: {without_rows(str(error))}"[:500]


def without_rows(text: str) -> str:
    """The text of a database error without its DETAIL, which quotes the row (`Key (email)=(…) already exists`)."""
    return _DETAIL.sub("", text)


DATABASE_ERRORS = (
    DBAPIError,
    # A connect that fails on the way to a raw connection comes in the dialect's own clothes.
    EmulatedDBAPIException,
    PoolTimeout,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
"""Everything the database layer raises; `classify` sorts them, and whatever else is raised is a bug."""


class Failure(Enum):
    """What a database error means for the unit of work that met it."""

    RETRY = auto()
    """Rolled back by Postgres; running the whole function again is right (SQLSTATE 40001, 40P01)."""
    LOST = auto()
    """The connection is gone; before COMMIT nothing happened, during COMMIT nobody knows."""
    TIMEOUT = auto()
    """Our own statement_timeout or lock_timeout (57014, 55P03)."""
    POOL = auto()
    """No free connection within the pool's timeout."""
    OTHER = auto()
    """A bug, or a constraint that the slice did not expect."""


_DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# 0A000 is InvalidCachedStatementError after live DDL: a fresh attempt prepares anew.
_RETRY_STATES = frozenset({"40001", "40P01", "0A000"})
_TIMEOUT_STATES = frozenset({"57014", "55P03"})
# TimeoutError is an OSError since 3.11: a connect or a command that got no answer at all. InternalClientError: the
# server has said goodbye on a pooled connection whose end has not reached us yet; the driver begins nothing on it.
_LOST_ERRORS = (OSError, asyncpg.InterfaceError, asyncpg.ConnectionDoesNotExistError, asyncpg.InternalClientError)
# 53300 too many connections; 57P0x the server is going down or coming up; 25P03 idle in transaction was ended.
_LOST_STATES = frozenset({"53300", "57P01", "57P02", "57P03", "57P05", "25P03"})


def sqlstate(error: BaseException) -> str | None:
    """The five-character SQLSTATE behind an asyncpg or SQLAlchemy error."""
    original = driver_error(error)
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return state if isinstance(state, str) else None


def driver_error(error: BaseException) -> BaseException:
    """The driver's own error under SQLAlchemy's wrappers."""
    inner = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    cause = inner.__cause__
    if isinstance(inner, EmulatedDBAPIException) and isinstance(cause, _DRIVER_ERRORS):
        return cause
    return inner


def constraint_of(error: BaseException) -> str | None:
    """The name of the constraint that a 23xxx error broke, so a slice can turn it into its refusal."""
    name = getattr(driver_error(error), "constraint_name", None)
    return name if isinstance(name, str) else None


def is_unique_violation(error: BaseException, constraint: str | None = None) -> bool:
    """Whether the error is SQLSTATE 23505 (on the named constraint, when one is given)."""
    return sqlstate(error) == "23505" and (constraint is None or constraint_of(error) == constraint)


def classify(error: BaseException) -> Failure:
    """Sort a failure of the database layer; see Failure."""
    if isinstance(error, PoolTimeout):
        return Failure.POOL
    state = sqlstate(error)
    if state in _RETRY_STATES or is_unique_violation(error, "pk_idempotency_keys"):
        return Failure.RETRY
    if state in _TIMEOUT_STATES:
        return Failure.TIMEOUT
    if state in _LOST_STATES or (state is not None and state.startswith("08")):
        return Failure.LOST
    original = driver_error(error)
    if isinstance(original, _LOST_ERRORS):
        return Failure.LOST
    if isinstance(original, asyncio.IncompleteReadError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    ):
        return Failure.LOST
    return Failure.OTHER
