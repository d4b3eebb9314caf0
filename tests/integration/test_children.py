"""What a worker's gRPC core writes by itself: logged and counted while the worker lives, shown when it has died."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from marketd.process.supervision.child import Child
from marketd.process.supervision.grpc_lines import LINES_OF_A_KIND

from tests.worlds.worker_like import FLOOD, RECORD, TIMES

ROOT = Path(__file__).resolve().parents[2]


def _lived(how: str, folder: Path) -> tuple[Child, int, list[str]]:
    """A child that has ended, its exit code, and what stands in the log of its supervisor."""
    child = Child("Worker 0", ["tests.worlds.worker_like", how], 5)
    with (folder / "stderr").open("w") as stderr:
        pipe = child.spawn({**os.environ, "PYTHONPATH": str(ROOT)}, stderr.fileno())
    assert child.process is not None
    try:
        child.process.wait(60)
    finally:
        child.kill()
    code = child.ended()
    assert code is not None
    assert child.pipe == pipe
    while child.hear():
        pass
    assert child.ready == {"admin": 1}
    return child, code, (folder / "stderr").read_text().splitlines()


def test_lines_of_the_core_are_logged_as_ours_the_first_of_each_place_and_all_are_counted(tmp_path: Path) -> None:
    child, code, written = _lived("writes", tmp_path)
    said: list[dict[str, Any]] = [json.loads(line) for line in written]
    assert code == 0
    core = [line for line in said if line["event"] == "core_log"]
    again = [line for line in core if line["place"] == "chttp2_transport.cc:123"]
    assert len(again) == LINES_OF_A_KIND
    assert {(line["level"], line["severity"], line["text"]) for line in again} == {
        ("error", "error", "said again and again")
    }
    assert [(line["level"], line["text"]) for line in core if line["severity"] == "other"] == [
        ("warning", "\\x1b[31mnobody knows who said this"),
        ("warning", "the last line has no end"),
    ]
    assert [(line["place"], line["count"]) for line in said if line["event"] == "core_lines_left_out"] == [
        ("chttp2_transport.cc:123", TIMES - LINES_OF_A_KIND)
    ]
    (counts,) = (line for line in said if line["event"] == "counts")
    assert counts["marketd_core_log_lines_total{'severity': 'error'}"] == TIMES
    assert counts["marketd_core_log_lines_left_out_total{'severity': 'error'}"] == TIMES - LINES_OF_A_KIND
    assert counts["marketd_core_log_lines_total{'severity': 'other'}"] == 2
    assert child.last_words() == [], "what was logged is not said again"


def test_what_grpcs_python_layer_logs_is_throttled_and_counted_and_others_records_are_not(tmp_path: Path) -> None:
    _, code, written = _lived("records", tmp_path)
    said: list[dict[str, Any]] = [json.loads(line) for line in written]
    assert code == 0
    written_by = Counter(line["logger"] for line in said if line["event"] == RECORD)
    assert written_by == {"grpc._cython.cygrpc": LINES_OF_A_KIND, "asyncpg": TIMES}
    assert [line["count"] for line in said if line["event"] == "core_lines_left_out"] == [TIMES - LINES_OF_A_KIND]
    (counts,) = (line for line in said if line["event"] == "counts")
    assert counts["marketd_core_log_lines_total{'severity': 'error'}"] == TIMES
    assert counts["marketd_core_log_lines_left_out_total{'severity': 'error'}"] == TIMES - LINES_OF_A_KIND


def test_a_flood_that_nobody_can_read_meanwhile_loses_lines_and_stops_no_worker(tmp_path: Path) -> None:
    _, code, written = _lived("floods", tmp_path)
    assert code == 0
    (counts,) = (line for line in map(json.loads, written) if line["event"] == "counts")
    assert 0 < counts["marketd_core_log_lines_total{'severity': 'error'}"] < FLOOD


@pytest.mark.parametrize("how", ["dies-by-the-core", "dies-while-it-logs"])
def test_the_words_with_which_the_core_ends_a_worker_are_not_lost(tmp_path: Path, how: str) -> None:
    child, code, written = _lived(how, tmp_path)
    assert code == -signal.SIGABRT
    assert any("the last words" in line for line in [*written, *child.last_words()])


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="whether a thread computes is known on Linux only")
def test_a_worker_that_computes_is_told_apart_from_one_that_is_stopped() -> None:
    child = Child("Worker 0", ["tests.worlds.worker_like", "computes"], 5)
    child.spawn({**os.environ, "PYTHONPATH": str(ROOT)}, 2)
    assert child.process is not None
    try:
        end = time.monotonic() + 60
        while child.ready is None:
            assert time.monotonic() < end
            assert child.hear()
        # Nobody else computes all the time: it does in nearly every look, and in none once it is stopped.
        assert sum(child.is_busy for _ in range(100)) > 50
        child.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.process.pid, os.WSTOPPED)
        assert not any(child.is_busy for _ in range(100))
    finally:
        child.kill()
        child.process.wait()
    assert not child.is_busy


def test_what_a_worker_says_before_anybody_reads_is_shown_after_its_death(tmp_path: Path) -> None:
    child, code, written = _lived("dies-early", tmp_path)
    assert (code, written) == (3, [])
    assert child.last_words() == ["\\x1b[31mnobody knows who said this"]
