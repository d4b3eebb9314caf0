"""What newcomers do with what they are shown: they paste it into a shell, in whatever folder they are in."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.worlds import processes
from tests.worlds.foreign import ROOT, TOOLS
from tests.worlds.guide import GUIDES

# The guides' snippets are run elsewhere, all of them.
PAGES = tuple(
    page
    for page in (ROOT / "README.md", ROOT / "clients/python/README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if page not in GUIDES
)
ADDRESS = "127.0.0.1:50051"
"""Where `make run` serves, and where every page calls."""
SECONDS = 90

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "@@ ended with"


@dataclass(frozen=True)
class Pasted:
    """A command, what it printed (errors too), and its exit code."""

    command: str
    output: str
    code: int


def blocks(page: Path, kind: str) -> list[str]:
    """The page's fenced blocks of a language."""
    return [body for language, body in _BLOCK.findall(page.read_text()) if language == kind]


def commands(block: str) -> list[str]:
    """The commands of a shell block: whole ones, without the comments behind and between them."""
    lines = re.sub(r"\\\n\s*", "", block).splitlines()
    stripped = [re.split(r"\s{2,}#\s", line)[0].strip() for line in lines]
    return [line for line in stripped if line and not line.startswith("#")]


def path() -> str:
    """Where a newcomer's shell looks for programs: not beside this Python, but grpcurl is installed where it can be."""
    here = str(Path(sys.executable).parent)
    return os.pathsep.join([str(TOOLS), *(each for each in os.environ["PATH"].split(os.pathsep) if each != here)])


def shell(script: str, folder: Path) -> subprocess.Popen[str]:
    """A shell of its own that knows nothing of this environment."""
    return subprocess.Popen(
        ["sh", "-c", script],
        cwd=folder,
        env={"PATH": path(), "HOME": str(folder), "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def paste(script: str, folder: Path) -> Pasted:
    """Run commands in one shell to the first that fails.

    A watch goes on until its delivery is closed: like a person, this ends it by Ctrl-C once it has shown something.
    """
    with shell(script, folder) as process:
        assert process.stdout is not None
        shown, told = list[str](), False
        for line in process.stdout:
            shown.append(line)
            if "--watch" in script and re.match(r"\d\d:\d\d:\d\d  [A-Z]", line) and not told:
                told = True
                os.kill(processes.tree(process.pid)[-1].pid, signal.SIGINT)  # the shell of a person goes on
        code = process.wait(SECONDS)
    return Pasted(script, "".join(shown), code)


def paste_each(wanted: list[str], folder: Path) -> list[Pasted]:
    """Run commands one after the other in one shell, which keeps its variables; each with what it said."""
    with shell("\n".join(f"{command}\necho '{_END}' $?" for command in wanted), folder) as process:
        text, _ = process.communicate(timeout=SECONDS)
    parts = re.split(rf"{_END} (\d+)\n", text)[:-1]
    return [
        Pasted(command, output, int(code))
        for command, output, code in zip(wanted, parts[::2], parts[1::2], strict=True)
    ]
