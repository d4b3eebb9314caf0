"""`marketd bench --quick` measures for real, all groups in the long form; no figure is judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.worlds.gateway import require_envoy

pytestmark = pytest.mark.slow

GROUPS = {
    "reads": ("get_product_hot", "list_products_hot", "search_products_hot", "get_product_cold"),
    "cart": ("get_cart", "add_cart_item", "refresh_tokens"),
    "orders": ("place_order",),
    "positions": ("stream_locations_1", "stream_locations_10", "watch_fanout"),
    "work": ("relay_event", "run_job"),
}
# Nobody waits for one of these, and nothing is promised of them.
NO_LATENCY = NO_TARGET = GROUPS["work"]
LOGINS = "get_product_during_20_logins"
FIGURES = ("rps", "p50_ms", "p99_ms", "server_cpu_us", "postgres_cpu_us")


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder of our own that PostgreSQL may enter too when it has to run as another user."""
    with tempfile.TemporaryDirectory(prefix="mb-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with its temporary files in `folder`."""
    command = [sys.executable, "-m", "marketd", "bench", *arguments]
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=110)


def measured(*groups: str) -> dict[str, Any]:
    """One quick run of these groups: most of its time is starting the server."""
    with open_folder() as folder:
        result = bench(*groups, "--quick", "--json", folder=folder)
        assert result.returncode == 0, result.stderr[-4000:]
        assert list(folder.iterdir()) == []
    report: dict[str, Any] = json.loads(result.stdout)
    return report


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """All groups."""
    return measured(*GROUPS, "logins")


@pytest.mark.faults
@pytest.mark.alone
@pytest.mark.parametrize("group", GROUPS)
def test_every_operation_of_a_group_is_measured_beside_its_floors(report: dict[str, Any], group: str) -> None:
    operations = {operation["name"]: operation for operation in report["operations"]}
    for name in GROUPS[group]:
        operation = operations[name]
        for figures in (operation, operation["floor"]["default"], operation["floor"]["tuned"]):
            for figure in FIGURES:
                if name in NO_LATENCY and figure.endswith("_ms"):
                    assert figures[figure] is None
                else:
                    assert figures[figure] >= 0
            assert figures["rps"] > 0
            assert figures["server_cpu_us"] > 0
        floor_us = operation["floor"]["tuned"]["server_cpu_us"]
        assert operation["ratio"] == pytest.approx(operation["server_cpu_us"] / floor_us, rel=0.02)
        if name in NO_TARGET:
            assert operation["target"] is None
            assert operation["meets_target"] is None
        else:
            assert operation["target"] > 0
        assert operation["calls"] > 0


@pytest.mark.faults
@pytest.mark.alone
def test_operations_come_in_the_order_of_their_groups(report: dict[str, Any]) -> None:
    names = [operation["name"] for operation in report["operations"]]
    assert names == [*(name for names in GROUPS.values() for name in names), LOGINS]


@pytest.mark.faults
@pytest.mark.alone
def test_logins_are_held_against_the_same_server_in_quiet(report: dict[str, Any]) -> None:
    (operation,) = [operation for operation in report["operations"] if operation["name"] == LOGINS]
    for figures in (operation, operation["floor"]["quiet"]):
        assert all(figures[figure] >= 0 for figure in FIGURES)
        assert figures["rps"] > 0
    assert operation["logins_per_second"] > 0
    assert 0 < operation["login_p50_ms"] <= operation["login_p99_ms"]
    assert operation["ratio"] == pytest.approx(operation["p99_ms"] / operation["floor"]["quiet"]["p99_ms"], rel=0.02)


@pytest.mark.faults
@pytest.mark.alone
def test_what_needs_the_database_is_charged_to_it(report: dict[str, Any]) -> None:
    by_name = {operation["name"]: operation for operation in report["operations"]}
    for name in ("get_product_cold", "get_cart", "add_cart_item", "refresh_tokens", "place_order", *GROUPS["work"]):
        assert by_name[name]["postgres_cpu_us"] > 0
        assert by_name[name]["floor"]["tuned"]["postgres_cpu_us"] > 0


@pytest.mark.faults
@pytest.mark.alone
def test_the_machine_is_named_and_a_quick_run_claims_nothing(report: dict[str, Any]) -> None:
    assert report["machine"]["cores"] == psutil.cpu_count()
    assert {"python", "grpcio", "platform"} <= report["machine"].keys()
    assert report["noise"]["trusted"] is False
    assert "quick" in report["noise"]["message"]


@pytest.mark.faults
@pytest.mark.alone
def test_the_gateway_is_measured_beside_the_direct_way() -> None:
    require_envoy()
    found = measured("gateway")
    assert [operation["name"] for operation in found["operations"]] == [
        "GetProduct hot",
        "ListProducts hot",
        "AddCartItem",
    ]
    for operation in found["operations"]:
        assert list(operation["ways"]) == ["direct", "grpc", "grpc-web", "rest"]
        direct = operation["ways"]["direct"]["server_cpu_us"]
        for way, figures in operation["ways"].items():
            assert figures["rps"] > 0
            assert 0 < figures["p50_ms"] <= figures["p99_ms"]
            assert figures["server_cpu_us"] > 0
            assert way == "direct" or figures["envoy_cpu_us"] > 0
            assert figures["ratio"] == pytest.approx(figures["server_cpu_us"] / direct, rel=0.02)
    assert found["noise"]["trusted"] is False


def test_an_unknown_group_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    result = bench("writes", folder=tmp_path)
    assert result.returncode == 2
    assert "writes" in result.stderr
    assert all(group in result.stderr for group in GROUPS)


@pytest.mark.faults
def test_a_killed_benchmark_leaves_no_process_behind() -> None:
    command = [sys.executable, "-m", "marketd", "bench", "orders", "--quick"]
    with (
        open_folder() as folder,
        subprocess.Popen(
            command, env={**os.environ, "TMPDIR": str(folder)}, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stderr is not None
        # By then the server, its database and the load processes run.
        next(line for line in process.stderr if line.startswith("preparing"))
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) > 4
        process.kill()
        _, alive = psutil.wait_procs(started, timeout=20)
    assert alive == []
