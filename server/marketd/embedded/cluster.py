"""The embedded database as its user sees it: start or attach, keep running, stop.

One process *owns* the server: the first that came. It started the server and the server ends with it, however it ends.
Others that start meanwhile *attach*: they use the server and leave it alone. When the owner ends while others are
attached the server goes down all the same, since nobody would end it otherwise; an attached process that calls
`ensure_running()` then becomes the owner and starts it again at the same address.
"""

import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from marketd.embedded import wire
from marketd.embedded.accounts import Account, choose_account
from marketd.embedded.binaries import Binaries, binaries_for, find_binaries
from marketd.embedded.errors import EmbeddedPostgresError, MemoryInUseError, StartTimedOutError, explaining
from marketd.embedded.home import Home, make_private, remove_borrowed, socket_in
from marketd.embedded.initialize import ensure_cluster
from marketd.embedded.leftovers import clear_leftovers
from marketd.embedded.ownership import Ownership
from marketd.embedded.parameters import PORT
from marketd.embedded.server import Server, answers, run_server

_POLL_SECONDS = 0.02
# How long the last processes of a killed server may take to give its memory back.
_MEMORY_PATIENCE_SECONDS = 10.0
_MOST_NAME_BYTES = 63
# Another process made it first: seen before, or met while ours was being made.
_EXISTS = {"42P04", "23505"}


class EmbeddedPostgres:
    """A PostgreSQL 18 on a unix socket with its data under `data_dir`.

    data_dir: made when missing; holds the cluster, its log and its lock. The path may be long: the socket then lies in
    a private folder under /tmp.
    durable: False trades the safety of the data against a crash of the *machine* for speed (tests).

    Every call blocks, so it comes before or outside of an event loop. start() and ensure_running() must be called on
    the main thread (NotOnMainThreadError), and before the process has threads or gRPC objects, since they fork.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        # Resolved, so that every process finds the same socket whatever link it came by.
        self.home: Final = Home(data_dir.resolve())
        self._durable = durable
        self._ownership = Ownership(self.home.owner_file)
        self._server: Server | None = None
        self._socket_dir: Path | None = None

    @property
    def attached(self) -> bool:
        """Whether another process owns the server we use."""
        return self._socket_dir is not None and not self._ownership.is_held

    @property
    def postmaster_pid(self) -> int | None:
        """The process id of the server in use; None when there is none."""
        if self._server is not None:
            return self._server.pid if self._server.is_alive() else None
        return self._ownership.read().postmaster_pid or None if self.attached else None

    @property
    def is_made(self) -> bool:
        """Whether there is a cluster to start; False also where one could not be seen."""
        try:
            return self.home.version_file.is_file()
        except OSError:
            return False

    def start(self, timeout_seconds: float = 60) -> None:
        """Start the server, or attach to the one that runs; returns once it has answered a query.

        Recovers from whatever ended the previous server. Raises an EmbeddedPostgresError that says what to do.
        """
        if self._server is not None and self._server.is_alive():
            return
        deadline = time.monotonic() + timeout_seconds
        with explaining(self.home.root):
            binaries = find_binaries()
            self.home.root.mkdir(parents=True, exist_ok=True)
            account = choose_account(self.home.data)
            self._socket_dir = self.home.socket_dir(account)
            while not self._ownership.take():
                if self._owner_serves():
                    return
                if time.monotonic() > deadline:
                    raise StartTimedOutError(
                        f"process {self._ownership.read().pid} owns {self.home.root} but its server does not answer: "
                        f"end that process or look into {self.home.log}."
                    )
                time.sleep(_POLL_SECONDS)
            self._run(account, binaries, deadline)

    def ensure_running(self, timeout_seconds: float = 60) -> bool:
        """Start the server again if it is gone; True when it had to. Cheap enough to call every second.

        An owner restarts its own server; an attached process takes over when the owner has ended.
        """
        if self._server is not None:
            if self._server.is_alive():
                return False
        elif self.attached and self._owner_serves():
            return False
        self.start(timeout_seconds)
        return True

    def stop(self) -> None:
        """End the server if we own it, let go of it otherwise; may be called twice."""
        try:
            if self._server is not None:
                self._ownership.announce(0)
                self._server.stop()
            if self._ownership.is_held and self._socket_dir is not None:
                remove_borrowed(self._socket_dir, self.home)
        finally:
            self._server = None
            self._ownership.release()
            self._socket_dir = None

    def dsn(self, database: str = "marketplace") -> str:
        """The URL of a database; the same after every restart. For SQLAlchemy put `+asyncpg` behind `postgresql`."""
        return f"postgresql://postgres@/{quote(database, safe='')}?host={quote(str(self._started()))}&port={PORT}"

    def ensure_database(self, name: str = "marketplace") -> None:
        """Make the database when it is missing; several processes may do so at once.

        name: 1..63 bytes of UTF-8.
        """
        if not 1 <= len(name.encode()) <= _MOST_NAME_BYTES or "\0" in name:
            raise ValueError(f"not a database name: {name!r}")
        socket_path = socket_in(self._started())
        found = f"SELECT 1 FROM pg_database WHERE datname = {wire.quote_literal(name)}"  # noqa: S608 (quoted)
        if wire.query(socket_path, "postgres", found):
            return
        try:
            wire.query(socket_path, "postgres", f"CREATE DATABASE {wire.quote_identifier(name)}", timeout_seconds=60)
        except wire.ServerRefusedError as refusal:
            if refusal.sqlstate not in _EXISTS:
                raise

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, account: Account, binaries: Binaries, deadline: float) -> None:
        try:
            usable = binaries_for(account, binaries)
            if self.home.data.exists():
                clear_leftovers(self.home, account)
            ensure_cluster(self.home, account, usable, durable=self._durable, deadline=deadline)
            make_private(self.home.socket_dir(account), account)
            self._server = self._run_server(account, usable, deadline)
            self._ownership.announce(self._server.pid)
        except BaseException:
            self.stop()
            raise

    def _run_server(self, account: Account, usable: Binaries, deadline: float) -> Server:
        """Start the server, also while the last process of a killed one is still on its way out.

        A process that ends loses its command line before it gives its shared memory back, so for a moment nothing is
        left that could be found and waited for, and yet PostgreSQL refuses to start.
        """
        patient_until = min(deadline, time.monotonic() + _MEMORY_PATIENCE_SECONDS)
        while True:
            try:
                return run_server(self.home, account, usable, durable=self._durable, deadline=deadline)
            except MemoryInUseError:
                if time.monotonic() > patient_until:
                    raise
                time.sleep(_POLL_SECONDS)
                clear_leftovers(self.home, account)

    def _owner_serves(self) -> bool:
        """Whether the server that the living owner announced answers: not an orphan that is about to go down."""
        if self._ownership.take():
            # The owner is gone and its server goes down: the caller takes over.
            return False
        announced = self._ownership.read().postmaster_pid
        running = self.home.postmaster_pid()
        return announced != 0 and announced == running and answers(socket_in(self._started()))

    def _started(self) -> Path:
        if self._socket_dir is None:
            raise EmbeddedPostgresError("the embedded database is not started: call start() first.")
        return self._socket_dir
