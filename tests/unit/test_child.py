"""A process of the supervisor's, and what goes with it."""

from __future__ import annotations

import os
from pathlib import Path

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
