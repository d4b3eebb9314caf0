"""The unit of work: what code inside one transaction may use. It has no commit; that is the transactor's.

Code that gets one may run twice (a retry re-runs the whole function), so it touches nothing but the database through
it: no network, no broadcast, no clock but `now`. Rows are locked in id order.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from marketd.kernel.db.database import Connection
from marketd.kernel.events.events import Event, Job


class UnitOfWork:
    """One attempt at one transaction. `connection` is the asyncpg connection inside it."""

    __slots__ = ("connection", "events", "hooks", "jobs", "now")

    def __init__(self, connection: Connection, now: datetime) -> None:
        self.connection = connection
        self.now = now
        self.events: list[Event] = []
        self.jobs: list[Job] = []
        self.hooks: list[Callable[[], None]] = []

    def emit(self, event: Event) -> None:
        """Write the event into the outbox with this transaction."""
        self.events.append(event)

    def enqueue(self, job: Job) -> None:
        """Write the job into the job table with this transaction."""
        self.jobs.append(job)

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Call `hook` once the commit is known: a wake-up or a cache drop, never an effect that may not be lost."""
        self.hooks.append(hook)


class ReadUnit:
    """A connection for reads that need no transaction: each statement sees what is committed when it starts."""

    __slots__ = ("connection", "now")

    def __init__(self, connection: Connection, now: datetime) -> None:
        self.connection = connection
        self.now = now
