"""Programs start with the collector at rest, and it goes on afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LISTS = """
import gc
during = gc.isenabled()
def main():
    print(during, gc.isenabled(), gc.get_freeze_count() > 1000)
"""


def test_the_collector_rests_during_the_imports_and_passes_over_them_later(tmp_path: Path) -> None:
    (tmp_path / "a_program.py").write_text(LISTS)
    ran = subprocess.run(
        [sys.executable, "-m", "marketd.process.quick_import", "a_program"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "False True True\n"


def test_an_import_that_fails_leaves_it_on(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    program = "import gc; from marketd.process.quick_import import imported\n"
    program += "try:\n    imported('broken')\nexcept ZeroDivisionError:\n    print(gc.isenabled())"
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == "True\n"
