"""What `serve --demo` prints is short, and every command of it can be pasted in any folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from marketd.demo.guide import INDENT

from tests.worlds import processes
from tests.worlds.served import Served

_LAST = re.compile("Ctrl-C ends everything")
_SECONDS = 90


@pytest.fixture
def with_demo(scratch: Path) -> Iterator[Served]:
    """A server with demo data, in a folder whose name has to be quoted; it has just said all that it says."""
    server = Served(scratch, workers=1, demo=True)
    server.start()
    server.wait_for(_LAST, seconds=_SECONDS)
    yield server
    server.stop()
    server.forget()


def banner(server: Served) -> list[str]:
    """What it has printed for a newcomer."""
    first = next(index for index, line in enumerate(server.lines) if line.startswith("Demo logins"))
    last = next(index for index, line in enumerate(server.lines) if _LAST.search(line))
    return server.lines[first : last + 1]


def scripts(lines: list[str]) -> list[str]:
    """The commands, in groups that are pasted into one shell."""
    groups: list[list[str]] = []
    for line in lines:
        if line.startswith("#"):
            groups.append([])
        elif line.startswith(INDENT):
            groups[-1].append(line.strip())
    return ["\n".join(["set -e", *group]) for group in groups]


def pasted(script: str, folder: Path) -> tuple[str, int, str]:
    """Run a group in a shell of its own that knows nothing of this environment; the script, its exit code and output.

    A watch goes on until its delivery is closed: like a person, this ends it by Ctrl-C once it has shown something.
    """
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep) if each != here)
    with subprocess.Popen(
        ["sh", "-c", script],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        shown, told = list[str](), False
        for line in process.stdout:
            shown.append(line)
            if "--watch" in script and re.match(r"\d\d:\d\d:\d\d  [A-Z]", line) and not told:
                told = True
                os.kill(processes.tree(process.pid)[-1].pid, signal.SIGINT)  # the shell of a person goes on
        code = process.wait(_SECONDS)
    return script, code, "".join(shown)


@pytest.mark.faults
def test_every_command_of_the_banner_succeeds_when_it_is_pasted_in_another_folder(
    with_demo: Served, tmp_path: Path
) -> None:
    lines = banner(with_demo)
    assert len(lines) <= 15, lines
    groups = scripts(lines)
    assert len(groups) == 3
    assert sum("--watch" in group for group in groups) == 1
    assert sum("TOKEN=" in group for group in groups) == 1
    with ThreadPoolExecutor(len(groups)) as threads:
        results = list(threads.map(lambda group: pasted(group, tmp_path), groups))
    assert [(script, shown) for script, code, shown in results if code] == []
    texts = " ".join(shown for _, _, shown in results)
    assert "Every step held" in texts
    assert "Ctrl-C ends the watch" in texts
    assert '"products"' in texts  # the buyer may have bought nothing yet
