"""The server that the fault tests hurt: one a run (and xdist worker), started once, since it must survive them all."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.canaries import WATCH
from tests.canary_looks import look_at_tables
from tests.faults import pasting
from tests.worlds.browser import HELLO
from tests.worlds.faults import World
from tests.worlds.gateway import has_envoy
from tests.worlds.served import DEMO_SHOWN, Served


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes are found through Linux's /proc."""
    if sys.platform != "linux":
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="kills need /proc and pidfd"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the server said last stands beside a failure."""
    report = yield
    server = getattr(item, "funcargs", {}).get("served")
    if report.failed and isinstance(server, Served):
        report.sections.append(("what the server said", server.words()))
    return report


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """A real server with two workers and its own database, and an administrator."""
    with tempfile.TemporaryDirectory(prefix="mf-") as folder:
        # The database may run as another account than ours.
        Path(folder).chmod(0o755)
        server = Served(Path(folder), gateway=has_envoy(), settings={"MARKETD_GATEWAY_STATIC": str(HELLO / "dist")})
        try:
            server.start()
            server.create_admin()
            yield server
            server.wait_until_whole()
            for text in server.metrics().values():
                WATCH.notice(text, "the metrics of marketd serve")
            asyncio.run(look_at_tables(server.database_url))
        finally:
            server.stop()
            server.look()
            server.forget()


@pytest.fixture(scope="session")
def with_demo() -> Iterator[Served]:
    """Two workers with demo data, which have shown a newcomer all that they show."""
    with tempfile.TemporaryDirectory(prefix="mf-") as folder:
        Path(folder).chmod(0o755)
        server = Served(Path(folder), demo=True, gateway=has_envoy(), settings={"PATH": pasting.path()})
        try:
            server.start()
            server.wait_for(DEMO_SHOWN, seconds=90)
            yield server
        finally:
            server.stop()
            server.forget()


@pytest.fixture(scope="session")
def world(served: Served) -> World:
    """The marketplace on it."""
    return asyncio.run(World.build(served.port, served.database_url))


@pytest.fixture
def both_workers(served: Served) -> None:
    """Whatever the test before did to them, two workers serve; connections of the test are spread over both."""
    served.wait_until_whole()


@pytest.fixture(autouse=True)
def discreet(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the server logged during the test holds no secrets; whoever wrote one there is still known then."""
    yield
    if "served" in request.fixturenames:
        server: Served = request.getfixturevalue("served")
        server.look()
