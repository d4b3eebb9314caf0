"""One process of the marketplace as it runs: how it starts, and how it ends in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.registry import Collector

from marketd.kernel.slice import Parts, Work
from marketd.process.core import Core, StartRefused
from marketd.process.metrics_port import MetricsPort
from marketd.process.unit_metrics import UnitMetrics
from marketd.transport.server import BuiltServer

_log = structlog.get_logger(__name__)


class App:
    """One process of the marketplace: its server (if it serves), its background work, its metrics."""

    def __init__(
        self,
        core: Core,
        server: BuiltServer | None,
        tasks: Sequence[Work],
        closers: Sequence[Callable[[], None]],
        admin_port: int,
    ) -> None:
        self.core = core
        self.server = server
        self._tasks = tasks
        self._closers = closers
        self.admin_port = admin_port
        self._running: list[asyncio.Task[None]] = []
        self._metrics: MetricsPort | None = None

    @property
    def parts(self) -> Parts:
        """What the slices were built from."""
        return self.core.parts

    @property
    def port(self) -> int:
        """The port that is served; 0 when this process serves none."""
        return self.server.port if self.server is not None else 0

    @property
    def internal_port(self) -> int:
        """The port for services with certificates; 0 when there is none."""
        return self.server.internal_port if self.server is not None else 0

    async def start(self, *collectors: Collector) -> None:
        """Begin to serve; `collectors` have further metrics. Returns once calls are answered."""
        self._running = [asyncio.create_task(keep_running(each)) for each in self._tasks]
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        for collector in (UnitMetrics(self.parts.tx.times), *collectors):
            registry.register(collector)
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
        for close in self._closers:
            close()
        await self.core.dispose()


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
