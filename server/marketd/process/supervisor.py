"""The supervisor: owns the port and the embedded database, starts the workers, restarts what dies, drains on SIGTERM.

It imports neither grpc nor asyncio and does no database work: workers are spawned as fresh processes, and a lean parent
starts fast and has little that can fail. Workers end with it, however it ends.
"""

from __future__ import annotations

import errno
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from marketd.config import Settings
from marketd.embedded import EmbeddedPostgres
from marketd.schema import revision

CONFIGURATION_ERROR = 78
"""A worker's exit code for what a restart cannot mend (sysexits' EX_CONFIG)."""

_PORT_WAIT_SECONDS = 3.0
_TICK_SECONDS = 0.25
_SHORT_LIFE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 5.0


class CannotServe(Exception):
    """What keeps the server from starting, in a sentence that says what to do."""


def reserve_port(host: str, port: int) -> socket.socket:
    """Hold the port for the workers without listening on it; port 0 takes a free one.

    SO_REUSEPORT would let a stray second server take half of the connections in silence, so the first bind goes
    without it. A predecessor that is just going down gets a few seconds. Raises CannotServe.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    end = time.monotonic() + _PORT_WAIT_SECONDS
    while port:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # Connections of a predecessor in TIME_WAIT are no reason to refuse; a listener is.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen(1)
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise CannotServe(f"cannot listen on {host}:{port}: {error.strerror}.") from error
                if time.monotonic() > end:
                    raise CannotServe(
                        f"port {port} on {host} is taken by another process; stop that one or choose another port "
                        f"(make run PORT=…, marketd serve --port …)."
                    ) from error
        time.sleep(0.1)
    holder = socket.socket(family, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        holder.bind((host, port))
    except OSError as error:
        holder.close()
        raise CannotServe(f"cannot listen on {host}:{port}: {error.strerror}; check MARKETD_HOST.") from error
    return holder


@dataclass
class _Worker:
    """One worker's place: its process now, and how often it died lately."""

    index: int
    argv: Callable[[int], Sequence[str]]
    process: subprocess.Popen[bytes] | None = None
    ready_fd: int | None = None
    ready: dict[str, str] | None = None
    started: float = 0.0
    deaths: int = 0
    not_before: float = 0.0


@dataclass
class Supervisor:
    """Runs `workers` serving processes, and a demo process once they serve.

    `say` prints a line for a person. `environment` is what the workers get besides this process' own.
    """

    settings: Settings
    say: Callable[[str], None]
    demo: bool = False
    only_background: bool = False
    migrate: Callable[[str], None] | None = None
    _workers: list[_Worker] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _stop: bool = False
    _served: bool = False

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit code."""
        begun = time.monotonic()
        self._catch_signals()
        holder = None if self.only_background else reserve_port(self.settings.host, self.settings.port)
        port = holder.getsockname()[1] if holder is not None else 0
        postgres = self._start_postgres()
        try:
            environment = self._environment(port, postgres)
            self._spawn_all(environment)
            code = self._watch(environment, postgres, port, begun)
        finally:
            self._end_workers()
            if postgres is not None:
                postgres.stop()
            if holder is not None:
                holder.close()
        return code

    # -- start

    def _catch_signals(self) -> None:
        read, write = os.pipe()
        os.set_blocking(write, False)
        os.set_blocking(read, False)
        signal.set_wakeup_fd(write)
        self._selector.register(read, selectors.EVENT_READ)

        def stop(_number: int, _frame: object) -> None:
            self._stop = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _start_postgres(self) -> EmbeddedPostgres | None:
        if self.settings.database_url is not None:
            return None
        postgres = EmbeddedPostgres(self.settings.data_dir / "postgres")
        postgres.start()
        postgres.ensure_database()
        if self.migrate is not None:
            self.migrate(postgres.dsn())
        return postgres

    def _environment(self, port: int, postgres: EmbeddedPostgres | None) -> dict[str, str]:
        environment = {**os.environ, "MARKETD_PORT": str(port), "PYTHONUNBUFFERED": "1"}
        if postgres is not None:
            environment["MARKETD_DATABASE_URL"] = postgres.dsn()
        # Read by grpc when it is imported; docs/decisions/ has the measurement.
        environment.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
        environment.setdefault("GRPC_VERBOSITY", "ERROR")
        return environment

    def _spawn_all(self, environment: Mapping[str, str]) -> None:
        mode = ["--only-background"] if self.only_background else []

        def serving(index: int) -> list[str]:
            program = ["marketd.process.quick_import", "marketd.worker"]
            return [*program, "--index", str(index), "--parent", str(os.getpid()), *mode]

        count = 1 if self.only_background else self.settings.workers
        self._workers = [_Worker(index, serving) for index in range(count)]
        for worker in self._workers:
            self._spawn(worker, environment)

    def _spawn(self, worker: _Worker, environment: Mapping[str, str]) -> None:
        read, write = os.pipe()
        argv = [sys.executable, "-m", *worker.argv(worker.index), "--ready-fd", str(write)]
        # A session of its own: Ctrl-C reaches the supervisor alone, which then drains in order.
        worker.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            argv, env=dict(environment), pass_fds=(write,), start_new_session=True, stdin=subprocess.DEVNULL
        )
        os.close(write)
        os.set_blocking(read, False)
        worker.ready_fd = read
        worker.ready = None
        worker.started = time.monotonic()
        self._selector.register(read, selectors.EVENT_READ, worker)

    # -- the watch

    def _watch(self, environment: Mapping[str, str], postgres: EmbeddedPostgres | None, port: int, begun: float) -> int:
        while not self._stop:
            self._read_ready()
            if postgres is not None and postgres.ensure_running():
                self.say("PostgreSQL had died and was started again.")
            for worker in self._workers:
                code = self._look_after(worker, environment)
                if code is not None:
                    return code
            if not self._served and all(worker.ready is not None for worker in self._workers):
                self._served = True
                self._announce(port, time.monotonic() - begun)
                if self.demo:
                    self._start_demo(environment, port)
        self.say("Stopping: calls in flight finish first.")
        return 0

    def _read_ready(self) -> None:
        for key, _ in self._selector.select(_TICK_SECONDS):
            data = os.read(key.fd, 4096)
            worker = key.data
            if worker is None:
                continue  # the wake-up of a signal
            if data:
                worker.ready = dict(part.split("=", 1) for part in data.decode().split())
                if self._served and worker.process is not None and worker.index >= 0:
                    where = f"process {worker.process.pid}; metrics: http://127.0.0.1:{worker.ready['admin']}/metrics"
                    self.say(f"{self._name(worker)} serves again ({where}).")
            self._selector.unregister(key.fd)
            os.close(key.fd)
            worker.ready_fd = None

    def _look_after(self, worker: _Worker, environment: Mapping[str, str]) -> int | None:
        if worker.process is not None:
            code = worker.process.poll()
            if code is None:
                return None
            worker.process = None
            if code == CONFIGURATION_ERROR and not self._served:
                return 2
            lived = time.monotonic() - worker.started
            worker.deaths = worker.deaths + 1 if lived < _SHORT_LIFE_SECONDS else 1
            # The first restart is at once; a worker that keeps dying young waits longer each time.
            pause = 0.0 if worker.deaths == 1 else min(0.25 * 2**worker.deaths, _LONGEST_PAUSE_SECONDS)
            worker.not_before = time.monotonic() + pause
            self.say(f"{self._name(worker)} ended with {_describe(code)}; starting it again.")
        if time.monotonic() >= worker.not_before:
            self._spawn(worker, environment)
        return None

    def _start_demo(self, environment: Mapping[str, str], port: int) -> None:
        def simulate(_index: int) -> list[str]:
            return ["marketd.demo.live", "--target", f"{self.settings.host}:{port}", "--parent", str(os.getpid())]

        worker = _Worker(-1, simulate)
        self._workers.append(worker)
        self._spawn(worker, environment)

    def _name(self, worker: _Worker) -> str:
        return "The demo" if worker.index < 0 else f"Worker {worker.index}"

    def _announce(self, port: int, seconds: float) -> None:
        if self.only_background:
            self.say(f"Running relay, timers and jobs ({seconds:.1f} s to start).")
            return
        metrics = ", ".join(
            f"http://127.0.0.1:{worker.ready['admin']}/metrics" for worker in self._workers if worker.ready
        )
        pids = ", ".join(str(worker.process.pid) for worker in self._workers if worker.process is not None)
        self.say(f"SERVING on {self.settings.host}:{port} after {seconds:.1f} s (workers: {pids}; metrics: {metrics})")

    # -- the end

    def _end_workers(self) -> None:
        processes = [worker.process for worker in self._workers if worker.process is not None]
        for process in processes:
            process.terminate()
        end = time.monotonic() + self.settings.drain_seconds + 5
        for process in processes:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _describe(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def migrate_once(data_dir: Path) -> Callable[[str], None]:
    """Migrate the embedded database, unless a stamp says that this very set of migrations has already run.

    The stamp saves a second of every start; a worker checks the schema's revision itself in any case.
    """

    def migrate(url: str) -> None:
        newest = revision.head()
        stamp = data_dir / "postgres" / "schema"
        if stamp.exists() and stamp.read_text() == newest:
            return
        result = subprocess.run(
            [sys.executable, "-m", "marketd", "migrate", "--quiet"],
            env={**os.environ, "MARKETD_DATABASE_URL": url},
            check=False,
        )
        if result.returncode:
            raise CannotServe("the embedded database could not be migrated; the messages above say why.")
        stamp.write_text(newest)

    return migrate
