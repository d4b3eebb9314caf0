"""One process of the marketplace as it runs: what it is made of, how it starts, and how it ends in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from sqlalchemy.ext.asyncio import AsyncEngine

from marketd.config import Settings
from marketd.kernel.broadcast import PostgresBroadcast
from marketd.kernel.clock import SystemClock
from marketd.kernel.feed import Feed
from marketd.kernel.jobs import JobRunner
from marketd.kernel.pages import PageTokens
from marketd.kernel.relay import Relay
from marketd.kernel.transactor import Transactor
from marketd.metrics_port import MetricsPort
from marketd.transport.server import BuiltServer

_log = structlog.get_logger(__name__)

Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class StartRefused(Exception):
    """The process cannot serve as things are; the message says what to do."""


@dataclass
class Parts:
    """What every slice is built from."""

    settings: Settings
    url: str
    engine: AsyncEngine
    readiness_engine: AsyncEngine
    tx: Transactor
    readiness: Transactor
    broadcast: PostgresBroadcast
    feed: Feed
    pages: PageTokens
    relay: Relay
    jobs: JobRunner
    clock: SystemClock = field(default_factory=SystemClock)
    tasks: list[Work] = field(default_factory=list)
    """What runs beside the server until it stops."""
    background: list[Work] = field(default_factory=list)
    """What runs only where background work is wanted."""
    closers: list[Callable[[], None]] = field(default_factory=list)
    """What is let go of at the very end."""


class App:
    """One process of the marketplace: its server (if it serves), its background work, its metrics."""

    def __init__(self, parts: Parts, server: BuiltServer | None, admin_port: int) -> None:
        self.parts = parts
        self.server = server
        self.admin_port = admin_port
        self._running: list[asyncio.Task[None]] = []
        self._metrics: MetricsPort | None = None

    @property
    def port(self) -> int:
        """The port that is served; 0 when this process serves none."""
        return self.server.port if self.server is not None else 0

    @property
    def internal_port(self) -> int:
        """The port for services with certificates; 0 when there is none."""
        return self.server.internal_port if self.server is not None else 0

    async def start(self) -> None:
        """Begin to serve. Returns once calls are answered."""
        work = [*self.parts.tasks, *self.parts.background]
        self._running = [asyncio.create_task(keep_running(each)) for each in work]
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        if self.server is not None:
            registry.register(self.server.accounting)
        try:
            self._metrics = MetricsPort(self.admin_port, registry)
        except OSError as error:
            raise StartRefused(
                f"the metrics port {self.admin_port} on 127.0.0.1 cannot be used ({error.strerror}); set "
                "MARKETD_ADMIN_PORT to a free one, or to 0."
            ) from error
        self.admin_port = self._metrics.port
        if self.server is not None:
            await self.server.start()

    async def stop(self, grace_seconds: float) -> None:
        """Drain the calls, then the units of work, then let everything go."""
        if self.server is not None:
            await self.server.stop(grace_seconds)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.parts.tx.drain()
        if self._metrics is not None:
            self._metrics.close()
        for close in self.parts.closers:
            close()
        await asyncio.gather(self.parts.engine.dispose(), self.parts.readiness_engine.dispose())


async def keep_running(work: Work, *, pause_seconds: float = 1.0) -> None:
    """Run background work until it is cancelled. What a bug or a database in trouble ends is begun again.

    A process that serves without its relay, its poller or its hub would look healthy and hand nothing on.
    """
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - whatever it was, it must be seen, and the work must go on
            _log.exception("background_work_failed", work=repr(work))
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # It failed while it was being ended; beginning again would keep the process from ending.
                return
        else:
            _log.error("background_work_ended", work=repr(work))
        await asyncio.sleep(pause_seconds)
