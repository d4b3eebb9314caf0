"""Pages whose every snippet is run, as a reader runs them: one shell a page, and files written where their fence says.

A fence names the language and perhaps what to expect of a shell's block: `refused` for an error in JSON, `fails` for
one and another exit code than 0. Another word is the name of the file that the block is. A block `answer` is what the
block before it prints, with … for whatever.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.worlds.foreign import ROOT, TOOLS

GUIDES: Final = tuple(ROOT / "docs" / name for name in ("rest.md", "grpcurl.md", "grpc-web.md"))
SECONDS: Final = 90

_BLOCK: Final = re.compile(r"^```(?P<kind>\w+)(?: (?P<word>\S+))?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_BEGIN: Final = "@@ block"
_REFUSAL: Final = re.compile(r'"code":\s*\d+')


@dataclass(frozen=True)
class Block:
    """A fenced block, and what is to be printed by it where the page says so."""

    kind: str
    word: str
    body: str
    answer: str | None = None


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in their order."""
    found: list[Block] = []
    for match in _BLOCK.finditer(page.read_text()):
        kind, word, body = match["kind"], match["word"] or "", match["body"]
        if kind == "answer":
            asked = found.pop()
            found.append(Block(asked.kind, asked.word, asked.body, body))
        else:
            found.append(Block(kind, word, body))
    return found


@dataclass(frozen=True)
class Reader:
    """Somebody who follows a page in a folder; `here` says what stands in the page and is something else here."""

    folder: Path
    here: Mapping[str, str]

    def put(self, block: Block) -> None:
        """Write the block's file."""
        (self.folder / block.word).write_text(self._moved(block.body))

    async def paste(self, wanted: Sequence[Block]) -> None:
        """Run the shell's blocks in one shell; each must do what it says."""
        script = ["set -e"]
        for number, block in enumerate(wanted):
            body = re.sub(r"^npm install .*$", ":", self._moved(block.body), flags=re.MULTILINE)
            script.append(f"echo '{_BEGIN}' {number}")
            script.append(f"if (\n{body}\n); then exit 70; fi" if block.word == "fails" else body)
        text = await self.run("sh", "-c", "\n".join([*script, f"echo '{_BEGIN}' end"]))
        parts = re.split(rf"{_BEGIN} (?:\d+|end)\n", text)[1:]
        assert len(parts) == len(wanted) + 1, f"it ended early:\n{text}"
        for block, output in zip(wanted, parts, strict=False):
            assert output or "=$(" in block.body or "buf generate" in block.body, f"says nothing:\n{block.body}"
            assert bool(_REFUSAL.search(output)) is (block.word in ("refused", "fails")), f"{block.body}\n{output}"
            _compare(block, output)

    async def play(self, block: Block, *first: str) -> None:
        """Run a file of JavaScript that has been put."""
        _compare(block, await self.run(str(TOOLS / "node"), *first, block.word))

    async def run(self, *command: str) -> str:
        """Run a program; all that it printed."""
        path = os.pathsep.join([str(TOOLS), str(Path(sys.executable).parent), os.environ["PATH"]])
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env={"PATH": path, "HOME": str(self.folder), "LANG": "C.UTF-8"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        assert process.returncode == 0, f"{shlex.join(command)}\n{said.decode()}"
        return said.decode()

    def _moved(self, text: str) -> str:
        for written, real in self.here.items():
            text = text.replace(written, real)
        return text


def _compare(block: Block, output: str) -> None:
    if block.answer is None:
        return
    pattern = ".*".join(re.escape(part) for part in block.answer.strip().split("…"))
    assert re.fullmatch(pattern, output.strip(), re.DOTALL), f"{block.body}\nprints\n{output}\nand not\n{block.answer}"
