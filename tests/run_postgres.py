"""A pytest plugin: one embedded PostgreSQL a run, with a migrated template, and a database of its own for each test.

The cluster belongs to the run, not to a worker: it lies in the run's folder (tests/run_folder.py) and goes with it. The
workers start the server, attach to it and stop it in whatever order they come and go.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest
from marketd.embedded import EmbeddedPostgres
from marketd.kernel.values.ids import new_id
from marketd.schema import migrate

from tests import run_folder
from tests.canaries import MARK
from tests.canary_looks import Tail

TEMPLATE = "marketplace_template"


class Place:
    """Where the cluster lies, and who uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.server = EmbeddedPostgres(path / "pg", durable=False)
        self._users = (path / "users").open("a")
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def start(self) -> None:
        """Start the server or attach to it; whoever comes first migrates the template."""
        with (self.path / "template").open("a+") as template:
            fcntl.flock(template, fcntl.LOCK_EX)
            self.server.start()
            if not template.seek(0, 2):
                self.server.ensure_database(TEMPLATE)
                migrate.upgrade(self.server.dsn(TEMPLATE))
                template.write("migrated")

    def leave(self) -> None:
        """Stop the server once nobody else uses it, if it is ours.

        Every worker is a user from its beginning to its end, whether it has needed the server yet or not.
        """
        if self.server.postmaster_pid is not None and not self.server.attached:
            fcntl.flock(self._users, fcntl.LOCK_EX)
        self.server.stop()
        self._users.close()


_place = pytest.StashKey[Place]()


def pytest_configure(config: pytest.Config) -> None:
    """Every process that runs tests is a user of the place from here on."""
    if (folder := run_folder.of(config)) is not None:
        config.stash[_place] = Place(folder)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Before the folder goes."""
    if _place in config.stash:
        config.stash[_place].leave()


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Iterator[EmbeddedPostgres]:
    """The run's PostgreSQL."""
    place = pytestconfig.stash[_place]
    place.start()
    yield place.server
    # Each worker reads all of it at its end, so the last one has read what any test made it say.
    Tail(place.server.home.log, "the log of PostgreSQL").look()


class Databases:
    """Databases that are made while the test before runs, and removed while the next one does."""

    def __init__(self, postgres: EmbeddedPostgres, background: ThreadPoolExecutor) -> None:
        self._dsn = postgres.dsn("postgres")
        self._background = background
        # One connection for all of them: to open one takes a quarter of the time of making a database.
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._removals: list[Future[None]] = []
        self._next = self._make()

    def take(self) -> str:
        """The name of a migrated database that nobody has used."""
        name, made = self._next
        made.result()
        self._next = self._make()
        return name

    def remove(self, name: str) -> None:
        """Begin to remove it, and whoever is still connected to it."""
        self._removals.append(self._do(f'DROP DATABASE "{name}" WITH (FORCE)'))

    def close(self) -> None:
        """End the background, and raise what has gone wrong in it."""
        self._background.submit(self._hang_up).result()
        for removal in self._removals:
            removal.result()

    def _make(self) -> tuple[str, Future[None]]:
        name = f"test_{new_id().hex}"
        # Copying files takes a third of writing every page through the log, which nobody replays here.
        return name, self._do(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY')

    def _do(self, statement: str) -> Future[None]:
        return self._background.submit(lambda: self._runner.run(self._execute(statement)))

    async def _execute(self, statement: str) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._dsn)
        await self._connection.execute(statement)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._runner.run(self._connection.close())
        self._runner.close()


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Iterator[Databases]:
    """Where tests get their databases."""
    with ThreadPoolExecutor(1, "databases") as background:
        made = Databases(postgres, background)
        yield made
        made.close()


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, databases: Databases) -> Iterator[str]:
    """A migrated database of the test's own."""
    name = databases.take()
    yield _url(postgres, name)
    databases.remove(name)


@pytest.fixture(scope="session")
def lasting_database(postgres: EmbeddedPostgres, databases: Databases) -> Iterator[Callable[[], str]]:
    """Gives migrated databases that stay until the run ends: for what several tests share."""
    names: list[str] = []

    def give() -> str:
        names.append(databases.take())
        return _url(postgres, names[-1])

    yield give
    for name in names:
        databases.remove(name)


def _url(postgres: EmbeddedPostgres, name: str) -> str:
    # Nobody asks for the password; it is there to be missed in logs and errors.
    return postgres.dsn(name).replace("postgres@", f"postgres:{MARK}-database@", 1)
