"""What every kind of test shares; the database that a test gets comes from tests/run_postgres.py."""

from __future__ import annotations

import os

# Where PostgreSQL runs as another account it is started by a fork, and in its copy of a process with open gRPC
# connections the core's own fork handlers crash now and then. Nothing here uses gRPC on both sides of a fork.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
# What a developer keeps in a .env file of the checkout is nothing to the commands and servers under test.
os.environ["MARKETD_ENV_FILE"] = ""

import gc
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import SystemClock

# How long an example takes is the machine's business, not a test's.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

pytest_plugins = ["tests.canary_taps", "tests.run_folder", "tests.run_postgres", "tests.run_scheduling"]


def pytest_configure(config: pytest.Config) -> None:
    """The collector rests while modules are imported, rewritten and collected: nearly all of that stays."""
    if config.getoption("numprocesses", None) in (None, 0) or hasattr(config, "workerinput"):
        gc.disable()  # not in the process that only hands out the tests: it collects none
    if hasattr(config, "workerinput") and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        config.args[:] = _from_another_end(config.workerinput)


def _from_another_end(worker: dict[str, Any]) -> list[str]:
    """All folders of tests, with the part of this worker first.

    In a fresh clone every file is compiled, which takes longer than all else of collecting. In one order all workers
    would compile each file at the same time; so each finds most of them done by another.
    """
    folders = sorted(str(path) for path in Path(__file__).parent.glob("*/") if any(path.rglob("test_*.py")))
    first = len(folders) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    return [*folders[first:], *folders[:first]]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only long forms are asked for, a file that marks none is not even imported: that takes its time, too."""
    wanted = [mark for mark in ("faults", "alone") if re.search(rf"(?<!not )\b{mark}\b", config.option.markexpr or "")]
    if "faults" not in wanted or not collection_path.match("test_*.py"):
        return None
    text = collection_path.read_text()
    return True if any(f"mark.{mark}" not in text for mark in wanted) else None


def pytest_collection_finish() -> None:
    """From here on it passes over what stays, and over what little does not."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # tests make and drop much, and little of it in circles
    gc.enable()


@pytest.hookimpl(trylast=True)  # of what `-m` has left
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest tests first: one that comes last leaves the other workers idle.

    Those that share a server of their own come with them. They then stay with one worker, and it starts once.
    Long forms run only when they are asked for (`-m faults`).
    """
    long_forms = [item for item in items if item.get_closest_marker("faults") is not None]
    if long_forms and "faults" not in (config.option.markexpr or ""):
        config.hook.pytest_deselected(items=long_forms)
        items[:] = [item for item in items if item.get_closest_marker("faults") is None]
    items.sort(key=_turn)
    if items and items[0].get_closest_marker("minutes") is not None:
        items.insert(1, items.pop())  # no other worker takes what comes behind a running test: let it be short


def _turn(item: pytest.Item) -> tuple[bool, bool, tuple[str, ...]]:
    """Files in one order, wherever the worker began to collect; what goes on for minutes comes before all."""
    is_long = item.get_closest_marker("minutes") is not None
    is_last = item.get_closest_marker("slow") is None and "served" not in getattr(item, "fixturenames", ())
    return not is_long, is_last, item.path.parts


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
