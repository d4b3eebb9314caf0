"""Fixtures that every kind of test shares: one embedded PostgreSQL a run, a migrated template, a database a test."""

from __future__ import annotations

import os

# Where PostgreSQL runs as another account it is started by a fork, and in its copy of a process with open gRPC
# connections the core's own fork handlers crash now and then. Nothing here uses gRPC on both sides of a fork.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import asyncio
import fcntl
import gc
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import hypothesis
import pytest
from marketd.embedded import EmbeddedPostgres
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.ids import new_id
from marketd.schema import migrate

from tests.canaries import MARK
from tests.canary_looks import Tail

# How long an example takes is the machine's business, not a test's.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

pytest_plugins = ["tests.canary_taps"]

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "marketplace_template"
# A database a test is a thousand files made and removed again: in memory that takes a third of the time.
MEMORY = Path("/dev/shm")  # noqa: S108 - Linux's own name; each run makes a folder of its own in it
MEMORY_NEEDED = 4 << 30


def pytest_configure(config: pytest.Config) -> None:
    """The collector rests while modules are imported, rewritten and collected: nearly all of that stays."""
    if config.getoption("numprocesses", None) in (None, 0) or hasattr(config, "workerinput"):
        gc.disable()  # not in the process that only hands out the tests: it collects none


def pytest_collection_finish() -> None:
    """From here on it passes over what stays."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first: one that comes last leaves the other workers idle."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all xdist workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


def _remove_left_behind() -> None:
    """Remove what killed runs of ours left in memory: nobody holds its lock any more."""
    for users in MEMORY.glob("marketd-tests-*.users"):
        try:
            with users.open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(users.with_suffix(".pg"), ignore_errors=True)
                users.unlink()
        except OSError:
            continue  # in use, or another user's


def _place(run_folder: Path) -> Path:
    """Where the run's database lies, as a path without its ending; the same for all workers of the run."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).total < MEMORY_NEEDED:
        return run_folder / "database"
    return MEMORY / f"marketd-tests-{hashlib.sha256(str(run_folder).encode()).hexdigest()[:16]}"


@pytest.fixture(scope="session")
def postgres(run_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The run's PostgreSQL: the first worker starts it, the others attach; the last one to leave stops it.

    Every worker holds a shared lock until it is done, so the owner waits for the others before it stops the server.
    """
    place = _place(run_folder)
    folder = place.with_suffix(".pg")
    server = EmbeddedPostgres(folder, durable=False)
    with (run_folder / "pg.template").open("a+") as template:
        fcntl.flock(template, fcntl.LOCK_EX)
        if place.parent == MEMORY:
            _remove_left_behind()
        users = place.with_suffix(".users").open("a")
        fcntl.flock(users, fcntl.LOCK_SH)
        server.start()
        if not (run_folder / "pg.migrated").exists():
            server.ensure_database(TEMPLATE)
            migrate.upgrade(server.dsn(TEMPLATE))
            (run_folder / "pg.migrated").touch()
        fcntl.flock(template, fcntl.LOCK_UN)
    with users:
        yield server
        if not server.attached:
            fcntl.flock(users, fcntl.LOCK_EX)
        else:
            fcntl.flock(users, fcntl.LOCK_UN)
        owned = not server.attached
        if owned:
            Tail(server.home.log, "the log of PostgreSQL").look()
        server.stop()
        if owned:
            # A cluster is 40 MB, and in memory nobody else tidies up.
            shutil.rmtree(folder, ignore_errors=True)
            place.with_suffix(".users").unlink(missing_ok=True)


async def _admin(postgres: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.dsn("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A migrated database of the test's own."""
    name = f"test_{new_id().hex}"
    # Copying files takes a third of writing every page through the log, which nobody replays here.
    asyncio.run(_admin(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY'))
    # Nobody asks for the password; it is there to be missed in logs and errors.
    yield postgres.dsn(name).replace("postgres@", f"postgres:{MARK}-database@", 1)
    asyncio.run(_admin(postgres, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
async def tx(database_url: str) -> AsyncIterator[Transactor]:
    """A transactor on the test's own database."""
    engine = create_engine(database_url, pool_size=20, pool_timeout_seconds=5)
    transactor = Transactor(engine, SystemClock())
    yield transactor
    await transactor.drain()
    await engine.dispose()


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder with a short path (unix sockets) that other users may enter."""
    with tempfile.TemporaryDirectory(prefix="mk-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
