"""The supervisor: owns the port and the embedded database, starts the workers, restarts what dies, drains on SIGTERM.

It imports neither grpc nor asyncio and does no database work: workers are spawned as fresh processes, and a lean parent
starts fast and has little that can fail. Workers end with it, however it ends.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from marketd.config import Settings
from marketd.config.forms import with_port
from marketd.embedded import EmbeddedPostgres
from marketd.process.env_file import FILE_VARIABLE
from marketd.process.supervision.child import Child, describe
from marketd.process.supervision.gateway import GatewayPlace, worker_socket
from marketd.process.supervision.port import CannotServe, reserve_port
from marketd.schema import revision

_TICK_SECONDS = 0.25
_SLOW_START_SECONDS = 5.0


@dataclass
class Supervisor:
    """Runs `settings.workers` serving processes, and a gateway and a demo process once they serve.

    `say` prints a line for a person, `warn` one about trouble.
    """

    settings: Settings
    say: Callable[[str], None]
    warn: Callable[[str], None]
    demo: bool = False
    only_background: bool = False
    with_gateway: bool = False
    migrate: Callable[[str], None] | None = None
    _children: list[Child] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _stderr_fd: int = -1
    _stop: bool = False
    _served: bool = False
    _gateway: GatewayPlace | None = None

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit code. Raises CannotServe and EmbeddedPostgresError."""
        begun = time.monotonic()
        self._catch_signals()
        # For the workers' logs: in a worker, descriptor 2 belongs to the gRPC core.
        self._stderr_fd = _standard_error()
        holder = None if self.only_background else reserve_port(self.settings.host, self.settings.port)
        port = holder.getsockname()[1] if holder is not None else 0
        try:
            if self.with_gateway:
                self._gateway = GatewayPlace.open(self.settings)
            postgres = self._start_postgres()
            try:
                environment = self._environment(port, postgres)
                self._spawn_all(environment)
                self._watch(environment, postgres, port, begun)
            finally:
                self._end_children()
                if postgres is not None:
                    postgres.stop()
        finally:
            if self._gateway is not None:
                self._gateway.close()
            if holder is not None:
                holder.close()
        self.say("Stopped.")
        return 0

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
        folder = self.settings.data_dir / "postgres"
        postgres = EmbeddedPostgres(folder)
        if not postgres.is_made:
            self.say(f"Making the database in {folder} (the first start only) …")
        postgres.start()
        postgres.ensure_database()
        if self.migrate is not None:
            self.migrate(postgres.dsn())
        return postgres

    def _environment(self, port: int, postgres: EmbeddedPostgres | None) -> dict[str, str]:
        # The options of the command go before the environment, in the workers as here. What a file added to the
        # environment stands in it by now.
        environment = {
            **os.environ,
            "MARKETD_HOST": self.settings.host,
            "MARKETD_PORT": str(port),
            "MARKETD_WORKERS": str(self.settings.workers),
            "MARKETD_GATEWAY_HOST": self.settings.gateway_address[0],
            FILE_VARIABLE: "",
            "PYTHONUNBUFFERED": "1",
        }
        if self.settings.gateway_static is not None:
            environment["MARKETD_GATEWAY_STATIC"] = str(self.settings.gateway_static)
        if self.demo:
            environment["MARKETD_DEMO"] = "true"
        if postgres is not None:
            environment["MARKETD_DATABASE_URL"] = postgres.dsn()
        # Read by grpc when it is imported; docs/decisions/ has the measurement.
        environment.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
        environment.setdefault("GRPC_VERBOSITY", "ERROR")
        return environment

    def _spawn_all(self, environment: Mapping[str, str]) -> None:
        mode = ["--only-background"] if self.only_background else []
        for index in range(1 if self.only_background else self.settings.workers):
            place = ["--index", str(index), "--parent", str(os.getpid())]
            if self._gateway is not None:
                place += ["--gateway-socket", str(worker_socket(self._gateway.folder, index))]
            program = ["marketd.process.quick_import", "marketd.worker", *place, *mode]
            self._children.append(Child(f"Worker {index}", program, self.settings.hang_seconds))
        for child in self._children:
            self._spawn(child, environment)

    def _spawn(self, child: Child, environment: Mapping[str, str]) -> None:
        self._selector.register(child.spawn(environment, self._stderr_fd), selectors.EVENT_READ, child)

    # -- the watch

    def _watch(
        self, environment: Mapping[str, str], postgres: EmbeddedPostgres | None, port: int, begun: float
    ) -> None:
        slow = time.monotonic() + _SLOW_START_SECONDS
        turn = time.monotonic()
        while not self._stop:
            self._hear()
            before, turn = turn, time.monotonic()
            if postgres is not None and postgres.ensure_running():
                self.say("PostgreSQL had died and was started again.")
            for child in self._children:
                child.outlasted(turn - before)
                self._look_after(child, environment)
            workers = [child for child in self._children if child.is_worker]
            if not self._served and all(worker.ready is not None for worker in workers):
                self._served = True
                self._announce(port, time.monotonic() - begun)
                if self.demo:
                    self._start_demo(environment, port)
            if self._gateway is not None:
                self._look_after_gateway(self._gateway, environment)
            if not self._served and turn > slow:
                slow = float("inf")
                self.say("Still starting (after an installation, Python compiles the program once) …")
        self.say("Stopping: calls in flight finish first.")

    def _hear(self) -> None:
        for key, _ in self._selector.select(_TICK_SECONDS):
            child = key.data
            if child is None:
                os.read(key.fd, 4096)  # the wake-up of a signal
            else:
                self._hear_child(child, key.fd)

    def _hear_child(self, child: Child, pipe: int) -> None:
        was_ready = child.ready is not None
        if not child.hear():
            self._selector.unregister(pipe)
        if self._served and child.ready is not None and not was_ready and child.process is not None:
            where = f"process {child.process.pid}; metrics: http://127.0.0.1:{child.ready['admin']}/metrics"
            self.say(f"{child.name} serves again ({where}).")

    def _hear_rest(self, child: Child) -> None:
        """What a child that has ended said since the last look; then its pipe is not needed any more."""
        if child.pipe is not None:
            self._hear_child(child, child.pipe)
        if child.pipe is not None:
            self._selector.unregister(child.pipe)
            child.hang_up()

    def _look_after(self, child: Child, environment: Mapping[str, str]) -> None:
        if child.process is not None and child.silence.is_too_long:
            self.warn(
                f"{child.name} (process {child.process.pid}) hangs: it has been silent for "
                f"{child.silence.seconds:.0f} s or more. It is ended."
            )
            child.kill()
        if (code := child.ended()) is not None:
            self._hear_rest(child)
            for line in child.last_words():
                self.warn(f"{child.name} said last: {line}")
            if child.refusal:
                if not self._served:
                    # The others refuse for the same reason, and one line of it is enough.
                    raise CannotServe(child.refusal)
                self.warn(child.refusal)
            self.say(f"{child.name} ended with {describe(code)}; starting it again.")
        if child.process is None and time.monotonic() >= child.not_before:
            self._spawn(child, environment)

    def _look_after_gateway(self, gateway: GatewayPlace, environment: Mapping[str, str]) -> None:
        """Start it once a worker serves; say when it does itself."""
        if gateway.child not in self._children:
            if any(child.is_worker and child.ready is not None for child in self._children):
                self._children.append(gateway.child)
                self._spawn(gateway.child, environment)
            return
        if gateway.look() and gateway.child.process is not None:
            again = " again" if gateway.was_ready else ""
            gateway.was_ready = True
            self.say(
                f"The gateway serves{again} on {gateway.address}: gRPC, gRPC-Web and JSON "
                f"(process {gateway.child.process.pid})."
            )

    def _start_demo(self, environment: Mapping[str, str], port: int) -> None:
        target = with_port(self.settings.host, port)
        program = ["marketd.demo.live", "--target", target, "--parent", str(os.getpid())]
        if self._gateway is not None:
            program += ["--gateway", self._gateway.address]
        demo = Child("The demo", program, 0, is_worker=False)
        self._children.append(demo)
        self._spawn(demo, environment)

    def _announce(self, port: int, seconds: float) -> None:
        if self.only_background:
            self.say(f"Running relay, timers and jobs ({seconds:.1f} s to start).")
            return
        workers = [child for child in self._children if child.is_worker]
        metrics = ", ".join(f"http://127.0.0.1:{worker.ready['admin']}/metrics" for worker in workers if worker.ready)
        pids = ", ".join(str(worker.process.pid) for worker in workers if worker.process is not None)
        where = with_port(self.settings.host, port)
        self.say(f"SERVING on {where} after {seconds:.1f} s (workers: {pids}; metrics: {metrics})")

    # -- the end

    def _end_children(self) -> None:
        running = [child for child in self._children if child.process is not None]
        # The gateway goes last: what the workers still answer passes through it.
        front = self._gateway.child if self._gateway is not None else None
        if self._gateway is not None:
            self._gateway.drain()
        for child in running:
            if child.process is not None and child is not front:
                child.process.terminate()
        end = time.monotonic() + self.settings.drain_seconds + 5
        for child in sorted(running, key=lambda each: each is front):
            if child is front and child.process is not None:
                child.process.terminate()
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.process.wait()
            for line in child.last_words():
                self.warn(f"{child.name} said last: {line}")


def _standard_error() -> int:
    """A descriptor of it; of nothing, for a process that was started without."""
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def migrate_once(data_dir: Path, say: Callable[[str], None]) -> Callable[[str], None]:
    """Migrate the embedded database, unless a stamp says that this very set of migrations has already run.

    The stamp saves a second of every start; a worker checks the schema's revision itself in any case.
    """

    def migrate(url: str) -> None:
        newest = revision.head()
        stamp = data_dir / "postgres" / "schema"
        if stamp.exists() and stamp.read_text() == newest:
            return
        say(f"Bringing its schema to {newest} …")
        result = subprocess.run(
            [sys.executable, "-m", "marketd", "migrate", "--quiet"],
            env={**os.environ, "MARKETD_DATABASE_URL": url, FILE_VARIABLE: ""},
            check=False,
        )
        if result.returncode:
            raise CannotServe("the embedded database could not be migrated; the messages above say why.")
        stamp.write_text(newest)

    return migrate
