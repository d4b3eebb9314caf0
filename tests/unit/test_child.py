"""A process of the supervisor's, and what goes with it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from marketd.process.supervision.child import Child

_PAIR = """
import os, sys, time
os.fork()
os.write(int(sys.argv[-1]), b".")
time.sleep(60)
"""


def test_what_a_killed_one_had_started_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "pair.py").write_text(_PAIR)
    child = Child("The pair", ["pair"], 0, is_worker=False)
    pipe = child.spawn({"PYTHONPATH": str(tmp_path)}, 2)
    os.set_blocking(pipe, True)
    assert os.read(pipe, 1) + os.read(pipe, 1) == b".."
    child.kill()
    assert child.process is not None
    child.process.wait()
    assert os.read(pipe, 1) == b"", "somebody still holds the other end"
    child.hang_up()


def test_who_keeps_dying_young_waits_longer_each_time_and_who_lived_is_begun_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "short.py").write_text("")
    child = Child("The short one", ["short"], 0, is_worker=False)

    def pause_after_a_life(seconds: float) -> float:
        child.spawn({"PYTHONPATH": str(tmp_path)}, 2)
        assert child.process is not None
        child.process.wait()
        now = time.monotonic() + seconds
        with monkeypatch.context() as later:
            later.setattr(time, "monotonic", lambda: now)
            assert child.ended() == 0
        child.hang_up()
        return child.not_before - now

    pauses = [pause_after_a_life(0) for _ in range(6)]
    assert pauses == [pytest.approx(each) for each in (0, 1, 2, 4, 5, 5)]
    assert pause_after_a_life(5) == pytest.approx(0), "it did not die young"
    assert pause_after_a_life(0) == pytest.approx(1), "and from there it is counted anew"
