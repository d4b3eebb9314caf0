"""A page of docs as instructions: its fenced blocks are files to write, and lines to add to files that are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(?P<kind>\w+) (?P<path>\S+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Addition:
    """A line that comes behind another one in a file."""

    path: str
    behind: str
    line: str

    def make(self, root: Path) -> None:
        """Add it. The line before must stand there once."""
        file = root / self.path
        lines = file.read_text().splitlines()
        assert lines.count(self.behind) == 1, f"{self.path} does not say {self.behind!r} once"
        lines.insert(lines.index(self.behind) + 1, self.line)
        file.write_text("\n".join(lines) + "\n")

    def undo(self, root: Path) -> None:
        """Take it out again."""
        file = root / self.path
        lines = file.read_text().splitlines()
        lines.remove(self.line)
        file.write_text("\n".join(lines) + "\n")


def blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """Kind, path and text of each block whose fence names a path."""
    for found in _BLOCK.finditer(page):
        yield found["kind"], found["path"], found["body"]


def additions(page: str) -> list[Addition]:
    """The lines that the page's diffs add, in their order."""
    found: list[Addition] = []
    for kind, path, body in blocks(page):
        if kind != "diff":
            continue
        before = ""
        for line in body.splitlines():
            if line.startswith("+"):
                found.append(Addition(path, before, line[1:]))
            before = line[1:]
    return found


def write_files(page: str, root: Path) -> list[Path]:
    """Write the page's files below `root`; which ones they are."""
    written: list[Path] = []
    for kind, path, body in blocks(page):
        if kind != "diff":
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(body)
            written.append(file)
    return written
