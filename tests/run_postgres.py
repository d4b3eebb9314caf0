"""A pytest plugin: one embedded PostgreSQL a run, with a migrated template, and for each test a database as migrated.

The cluster belongs to the run, not to a worker: it lies in the run's folder (tests/run_folder.py) and goes with it. The
workers start the server, attach to it and stop it in whatever order they come and go.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest
from marketd.embedded import EmbeddedPostgres
from marketd.kernel.values.ids import new_id
from marketd.schema import migrate

from tests import run_folder
from tests.canaries import MARK
from tests.canary_looks import Tail
from tests.run_emptying import Emptying, Fresh

TEMPLATE = "marketplace_template"
UNFINISHED = "marketplace_unfinished"
MADE_BEFORE = "MARKETD_TESTS_CLUSTER"
"""Names the folder of a stopped place that a run begins with a copy of: tools/mutants.py starts hundreds of runs."""
_T = TypeVar("_T")


class Place:
    """Where the cluster lies, and who uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.server = EmbeddedPostgres(path / "pg", durable=False)
        self._users = (path / "users").open("a")
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def start(self) -> None:
        """Start the server or attach to it; whoever finds no template migrates one.

        It has its name once it is whole. So nothing beside the cluster says that it is there, and outlives it.
        """
        with (self.path / "template").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (before := os.environ.get(MADE_BEFORE)) and not self.server.is_made:
                self._begin_with(Path(before))
            self.server.start()
            if not asyncio.run(_execute(self.server.dsn("postgres"), _FIND)):
                self.server.ensure_database(UNFINISHED)
                migrate.upgrade(self.server.dsn(UNFINISHED))
                asyncio.run(_execute(self.server.dsn("postgres"), f"ALTER DATABASE {UNFINISHED} RENAME TO {TEMPLATE}"))

    def _begin_with(self, before: Path) -> None:
        """Copy its data; a folder that is not whole has another name."""
        root = self.server.home.root
        root.mkdir(parents=True, exist_ok=True)
        # It belongs to the account that runs PostgreSQL, and stays so.
        subprocess.run(["cp", "-a", before / "pg" / "data", root / "unfinished"], check=True)
        (root / "unfinished").rename(self.server.home.data)

    def leave(self) -> None:
        """Stop the server once nobody else uses it, if it is ours.

        Every worker is a user from its beginning to its end, whether it has needed the server yet or not.
        """
        if self.server.postmaster_pid is not None and not self.server.attached:
            fcntl.flock(self._users, fcntl.LOCK_EX)
        self.server.stop()
        self._users.close()


_FIND = f"SELECT FROM pg_database WHERE datname = '{TEMPLATE}'"


async def _execute(dsn: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


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
    """Databases for tests, each as migrated: made or emptied while the test before runs."""

    def __init__(self, postgres: EmbeddedPostgres, background: ThreadPoolExecutor) -> None:
        self._dsn = postgres.dsn
        self._background = background
        # One connection for all of them: to open one takes a quarter of the time of making a database.
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._fresh: Fresh | None = None
        self._emptying: dict[str, Emptying] = {}
        self._removals: list[Future[None]] = []
        self._ready: deque[Future[str | None]] = deque([self._do(self._make)])

    def take(self) -> str:
        """The name of a database that is as the migrations made it."""
        name = None
        while name is None:
            name = (self._ready.popleft() if self._ready else self._do(self._make)).result()
        if not self._ready:
            self._ready.append(self._do(self._make))
        return name

    def give_back(self, name: str) -> None:
        """Have it emptied for another test, or removed when that cannot be done."""
        self._ready.append(self._do(lambda: self._empty(name)))

    def remove(self, name: str) -> None:
        """Begin to remove it, and whoever is still connected to it."""
        self._removals.append(self._do(lambda: self._drop(name)))

    def close(self) -> None:
        """End the background, and raise what has gone wrong in it."""
        self._do(self._hang_up).result()
        for removal in self._removals:
            removal.result()
        for ready in self._ready:
            ready.result()

    def _do(self, work: Callable[[], Coroutine[None, None, _T]]) -> Future[_T]:
        return self._background.submit(lambda: self._runner.run(work()))

    async def _make(self) -> str:
        name = f"test_{new_id().hex}"
        # Copying files takes a third of writing every page through the log, which nobody replays here.
        await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY')
        if self._fresh is None:
            self._fresh = await Fresh.read(self._dsn(name))
        return name

    async def _empty(self, name: str) -> str | None:
        assert self._fresh is not None  # it was made here
        emptying = self._emptying.get(name)
        if emptying is None:
            emptying = self._emptying[name] = await Emptying.on(self._dsn(name), self._fresh)
        if await emptying.once_more():
            return name
        del self._emptying[name]
        await emptying.close()
        await self._drop(name)
        return None

    async def _drop(self, name: str) -> None:
        await self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def _execute(self, statement: str) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._dsn("postgres"))
        await self._connection.execute(statement)

    async def _hang_up(self) -> None:
        for emptying in self._emptying.values():
            await emptying.close()
        if self._connection is not None:
            await self._connection.close()


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
    databases.give_back(name)


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
