"""The benchmark's judgement on what its load reports: errors void a measure, noise is said aloud."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
from marketd.bench import cpu, h2load, plan, work
from marketd.bench.clients import LoadFailed
from marketd.bench.load_web import WebConnection, WebRefused
from marketd.bench.measure import Figures, Measured
from marketd.bench.operations import Plain, Target
from marketd.bench.plan import BacklogSql, FloorMethod, Shape
from marketd.bench.report import Report
from marketd.bench.work import Found
from rich.console import Console

# What h2load 1.52 prints for four calls whose answers have ten bytes.
PRINTED = """
finished in 1.50ms, 2666.67 req/s, 130.21KB/s
requests: 4 total, 4 started, 4 done, 4 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 4 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 200B (200) total, 100B (100) headers (space savings 90.00%), {bodies}B ({bodies}) data
"""
LOG = "1700000000000001\t200\t400\n1700000000000002\t200\t300\n1700000000000003\t200\t200\n1700000000000004\t200\t500\n"
CALL = h2load.SameCall("127.0.0.1:1", "/a.B/C", "", b"", answer_bytes=10, count=4)


class Bought(Plain):
    """An operation that is never run."""

    name = "bought"
    target: Target | None = Target(tuned=1.2, default=0.9)


class Unpromised(Bought):
    """Another one, of which nothing is promised and for which nobody waits."""

    target = None


def measured(server_us: float, tuned_us: float, default_us: float, noise_percent: float | None) -> Measured:
    """An operation with these processor times."""
    return _measured(Bought(), server_us, tuned_us, default_us, noise_percent, (1.0, 2.0))


def _measured(
    operation: Bought,
    server_us: float,
    tuned_us: float,
    default_us: float,
    noise_percent: float | None,
    latencies_ms: tuple[float, float],
) -> Measured:
    sides = {
        name: Figures(1000.0, *latencies_ms, cpu_us, 0.0)
        for name, cpu_us in (("server", server_us), ("tuned", tuned_us), ("default", default_us))
    }
    return Measured(operation, 5, 100, sides, noise_percent)  # type: ignore[arg-type]  # its rounds are over


def test_h2load_reports_what_it_saw() -> None:
    found = h2load.found_in(PRINTED.format(bodies=60), LOG, CALL)
    assert (found.count, found.seconds, found.latencies_us) == (4, 0.0015, [400, 300, 200, 500])


def test_bodies_may_differ_by_what_they_are_allowed_and_no_more() -> None:
    web = replace(CALL, content_type="application/grpc-web+proto", body_bytes=14, slack_bytes=1)
    for bodies in (52, 60):
        assert h2load.found_in(PRINTED.format(bodies=bodies), LOG, web).count == 4
    for bodies in (51, 61):
        with pytest.raises(LoadFailed):
            h2load.found_in(PRINTED.format(bodies=bodies), LOG, web)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", b"ab"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\na\r\n0123456789\r\n0\r\n\r\n",
            b"a0123456789",
        ),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno", None),
    ],
)
async def test_answers_by_http_are_read_whole_and_judged(answer: bytes, body: bytes | None) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        connection = await WebConnection.open(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for _ in range(2):  # on one connection
            if body is None:
                with pytest.raises(WebRefused, match="404"):
                    await connection.call("GET", "/", "", "", b"")
            else:
                assert await connection.call("GET", "/", "", "", b"") == body
        connection.close()


def test_refusals_that_h2load_counts_as_successes_void_the_measure() -> None:
    with pytest.raises(LoadFailed, match="45 bytes where 60 were due"):
        h2load.found_in(PRINTED.format(bodies=45), LOG, CALL)


def test_work_and_findings_survive_the_pipe() -> None:
    uplink = work.Uplink("token", "id", 7, 8, 52.5, 13.4)
    fanout = work.Fanout("t", "/w", "token", b"\x00\xff", "/u", uplink, 10, 1, 0.5)
    assert work.load(work.dump(fanout)) == fanout
    found = Found(2, 0.5, [10, 20], {"UNAVAILABLE: x": 1}, ["a"], 3)
    assert work.load_found(work.dump_found(found)) == found


def test_processes_that_worked_at_once_count_as_one() -> None:
    both = work.merge([Found(2, 0.5, [1, 2], {"A": 1}), Found(3, 0.7, [3, 4, 5], {"A": 2})])
    assert (both.count, both.seconds, both.latencies_us, both.refused) == (5, 0.7, [1, 2, 3, 4, 5], {"A": 3})


def test_a_floor_plan_survives_its_file() -> None:
    method = FloorMethod("x", Shape.UNARY, b"\x01", ("SELECT $1",), [[[{"new": 0}]]], transaction=True)
    assert plan.load(plan.dump([method])) == [
        FloorMethod("x", Shape.UNARY, b"\x01", ["SELECT $1"], [[[{"new": 0}]]], transaction=True)
    ]
    waiting = FloorMethod("y", Shape.BACKLOG, backlog=BacklogSql("SELECT 1", ["SELECT $1"], "SELECT 2"))
    assert plan.load(plan.dump([waiting]))[0].backlog == waiting.backlog


def test_both_bounds_must_hold() -> None:
    assert measured(100, 90, 120, 1.0).meets_target
    assert not measured(100, 80, 120, 1.0).meets_target
    assert not measured(100, 90, 100, 1.0).meets_target


def test_what_has_no_target_and_no_latency_says_so_in_json_and_in_the_table() -> None:
    report = Report([_measured(Unpromised(), 180, 90, 120, 1.0, (0.0, 0.0))], quick=False)
    (operation,) = report.to_json()["operations"]
    for absent in ("p50_ms", "p99_ms", "target", "target_default", "meets_target"):
        assert operation[absent] is None
    assert operation["ratio"] == 2.0
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(report.to_table())
    (line,) = [line for line in console.export_text().splitlines() if line.startswith("bought")]
    assert line.split() == ["bought", "1,000", "-", "180", "0", "90/120", "2.00", "-"]


def test_noise_over_ten_percent_is_said_aloud_by_name() -> None:
    quiet, noisy = measured(1, 1, 2, 3.0), measured(1, 1, 2, 17.04)
    assert Report([quiet], quick=False).to_json()["noise"]["trusted"] is True
    noise = Report([quiet, noisy], quick=False).to_json()["noise"]
    assert (noise["spread_percent"], noise["trusted"]) == (17.0, False)
    assert "Too noisy to trust" in noise["message"]
    assert "bought" in noise["message"]


def test_a_single_round_says_nothing_of_noise_and_is_not_trusted() -> None:
    noise = Report([measured(1, 1, 2, None)], quick=False).to_json()["noise"]
    assert (noise["spread_percent"], noise["trusted"]) == (None, False)


def test_processor_time_counts_all_threads_and_ends_with_the_process() -> None:
    busy = (
        "import threading\n"
        "def spin():\n for _ in range(300_000): pass\n"
        "threads = [threading.Thread(target=spin) for _ in range(2)]\n"
        "[each.start() for each in threads]; [each.join() for each in threads]\n"
        "print('done', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        times = psutil.Process(process.pid).cpu_times()
        assert cpu.seconds_of([process.pid]) == pytest.approx(times.user + times.system, abs=0.03)
        process.kill()
    with pytest.raises(psutil.NoSuchProcess):
        cpu.seconds_of([process.pid])
