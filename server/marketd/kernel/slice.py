"""What a slice is built from, and what it hands over: all that the rest of the house needs to know of it.

A slice's `wiring.py` declares its SERVICERS and INVARIANTS, which need neither settings nor a database, and `build`,
which takes Parts (and the ports that upper slices implement) and gives a Slice. app.py names each wiring once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from marketd.config import Settings
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.pages import Pager
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.invariants import Invariant
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.broadcast import Broadcast
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.relay import EventHandler
from marketd.kernel.values.clock import Clock
from marketd.kernel.work.job_runner import JobHandler, OutsideHandler

Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""Background work: runs until it is cancelled."""
Ended: TypeAlias = Callable[[UUID | None, UUID | None, Refusal], None]
"""Told that the streams of an account, or of a session, must end, and why."""
ANSWERS_TOPIC = "answers"


class CannotStart(Exception):
    """What keeps a slice from starting: an operator's error, not a refusal. The message says what to do."""


class Authenticator(Protocol):
    """Who knows tokens. Refusals it raises (TOKEN_EXPIRED, SESSION_REVOKED, ACCOUNT_BLOCKED…) go to the client."""

    def cached(self, token: str) -> Caller | None:
        """The caller of a token that was verified before and still holds, or None; never waits."""
        ...

    async def authenticate(self, token: str) -> Caller:
        """Verify the token, or raise a Refusal."""
        ...

    def cached_service(self, service_account_id: UUID) -> Caller | None:
        """The service account that a client's certificate stands for, when it was asked for before and still holds."""
        ...

    async def authenticate_service(self, service_account_id: UUID) -> Caller:
        """That service account, or a Refusal: a certificate is worth nothing once the account is revoked."""
        ...


class LiveAuthenticator(Authenticator, Protocol):
    """An Authenticator that also says when somebody's access has ended."""

    def on_ended(self, callback: Ended) -> None:
        """Call back when the streams of an account or of a session must end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What every slice may use. `spare` has a few connections of its own, for what a full pool must not stop."""

    settings: Settings
    tx: Transactor
    spare: Transactor
    pager: Pager
    broadcast: Broadcast
    feed: Feed
    clock: Clock
    shared: dict[type, Any] = field(default_factory=dict)
    """What a slice has made once for its process and upper slices use too, by its class; ask the slice for it."""

    def drop_answers(self, tag: str) -> None:
        """After a commit: kept answers under the tag are stale, on this worker at once and on the others soon."""
        self.broadcast.publish(ANSWERS_TOPIC, tag.encode())


@dataclass(frozen=True, slots=True)
class Sweep:
    """Deletes what has served its time: one batch a run, in a unit of work of that name; gives how many rows went."""

    unit: str
    delete: Callable[[UnitOfWork], Awaitable[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One slice of one process, ready to be put to work.

    handlers: (event type, stable name, handler). jobs run in the transaction that ends them, outside_jobs without one.
    starts: awaited in order before anything runs. tasks run beside the server, background where background work is
    wanted. drains: called when the server begins to drain. closers: called at the very end. limits: what clients should
    know of the slice's, by their names in server.v1's ServerLimits.
    """

    servicers: Sequence[object] = ()
    handlers: Sequence[tuple[str, str, EventHandler]] = ()
    jobs: Mapping[str, JobHandler] = field(default_factory=dict)
    outside_jobs: Mapping[str, OutsideHandler] = field(default_factory=dict)
    sweeps: Sequence[Sweep] = ()
    starts: Sequence[Callable[[], Awaitable[None]]] = ()
    tasks: Sequence[Work] = ()
    background: Sequence[Work] = ()
    drains: Sequence[Callable[[], Awaitable[None]]] = ()
    closers: Sequence[Callable[[], None]] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    authenticator: LiveAuthenticator | None = None


class Wiring(Protocol):
    """A slice's `wiring.py`."""

    @property
    def SERVICERS(self) -> Sequence[type]:  # noqa: N802 - a constant of the module
        """The classes of its servicers."""

    @property
    def INVARIANTS(self) -> Sequence[Invariant]:  # noqa: N802 - a constant of the module
        """What must hold of its data."""


@dataclass(frozen=True, slots=True)
class Room:
    """A slice's place in app.py: its wiring, and how it is built with the ports that it needs from above."""

    wiring: Wiring
    build: Callable[[Parts], Slice]
