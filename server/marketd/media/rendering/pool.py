"""The pool of children that make renditions, as the event loop asks it. A child is begun when it is needed and ended
when there was nothing to do for a while; one that hangs, dies or is not waited for any more is killed.

A file goes over as an open descriptor, so it needs no name: what is spooled is gone with whoever had it, however that
ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Hashable, Mapping
from typing import Any, Final

import structlog

from marketd.media.errors import MediaCorrupt, MediaTooLarge, MediaTypeUnsupported
from marketd.media.rendering.turns import Turns
from marketd.media.values import RENDITIONS, Rendered, RenderedSize

_log = structlog.get_logger(__name__)

DEADLINE_SECONDS: Final = 20.0
"""What a child may take for one file, beginning included."""
MAX_WAITING: Final = 200
"""Files that wait for a child of one process; each is on disk, and beyond them is overload."""
IDLE_SECONDS: Final = 30.0
_MAX_LINE: Final = 64 * 1024
_CHILD: Final = ("-P", "-m", "marketd.media.rendering.child")


class _ChildGone(Exception):
    """The child ended before it had answered."""


class _Child:
    """One child and the two ends of it that are ours."""

    def __init__(self, process: Process, requests: socket.socket) -> None:
        self.process = process
        self._requests = requests
        self.idle_since = 0.0
        self.is_fresh = True

    @classmethod
    async def begin(cls) -> _Child:
        ours, theirs = socket.socketpair()
        try:
            # None of our environment: it holds secrets, and what strangers send is opened there.
            environment = {name: os.environ[name] for name in ("PYTHONPATH", "SYSTEMROOT") if name in os.environ}
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *_CHILD,
                str(os.getpid()),
                stdin=theirs.fileno(),
                stdout=PIPE,
                stderr=DEVNULL,
                env=environment,
                limit=_MAX_LINE,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, ours)

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

    async def ask(self, file: int, sides: Mapping[str, int]) -> tuple[dict[str, Any], list[bytes]]:
        """What the child answers. Raises _ChildGone."""
        out = self.process.stdout
        if out is None:
            raise _ChildGone
        try:
            # A few bytes into an empty buffer: this does not wait.
            socket.send_fds(self._requests, [json.dumps(sides).encode()], [file])
            line = json.loads(await out.readline())
            return line, [await out.readexactly(size["length"]) for size in line.get("sizes", ())]
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            raise _ChildGone from error

    def kill(self) -> None:
        self._requests.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


class RenderPool:
    """At most `processes` children, each with one file at a time. `run` must run beside whatever renders."""

    def __init__(
        self,
        processes: int,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        max_waiting: int = MAX_WAITING,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._turns = Turns(processes, max_waiting)
        self.deadline_seconds = deadline_seconds
        self._idle_seconds = idle_seconds
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()

    @property
    def pids(self) -> list[int]:
        """The children that there are."""
        return [child.process.pid for child in self._all if child.is_alive]

    async def run(self) -> None:
        """End children that have nothing to do, until cancelled; then all of them."""
        try:
            while True:
                await asyncio.sleep(self._idle_seconds / 2)
                while self._idle and self._idle[0].idle_since < time.monotonic() - self._idle_seconds:
                    await self._end(self._idle.pop(0))
        finally:
            await self.close()

    async def close(self) -> None:
        """End all children."""
        self._idle.clear()
        for child in tuple(self._all):
            await self._end(child)

    async def render(self, file: int, owner: Hashable = None) -> Rendered:
        """The renditions of an open file, which owners come to in turns.

        Raises MediaTypeUnsupported, MediaTooLarge, MediaCorrupt and Overloaded.
        """
        async with self._turns.taken(owner):
            line, contents = await self._ask(file)
        return read_answer(line, contents)

    async def _ask(self, file: int) -> tuple[dict[str, Any], list[bytes]]:
        try:
            async with asyncio.timeout(self.deadline_seconds):
                while True:
                    child = await self._take()
                    fresh = child.is_fresh
                    try:
                        answer = await child.ask(file, RENDITIONS)
                    except _ChildGone:
                        # One that has served may have been ended for any reason; a second time it is this file.
                        await self._end(child)
                        if fresh:
                            raise
                        continue
                    except BaseException:
                        # Nobody waits for its answer any more, and it would be taken for that of the next file.
                        await self._end(child)
                        raise
                    child.is_fresh = False
                    child.idle_since = time.monotonic()
                    self._idle.append(child)
                    return answer
        except TimeoutError:
            _log.warning("rendering_hung", seconds=self.deadline_seconds)
            raise MediaCorrupt("it takes too long to decode") from None
        except _ChildGone:
            _log.warning("rendering_died")
            raise MediaCorrupt("it cannot be decoded") from None

    async def _take(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
            await self._end(child)
        child = await _Child.begin()
        self._all.add(child)
        return child

    async def _end(self, child: _Child) -> None:
        child.kill()
        self._all.discard(child)
        # A killed process is gone at once; it is waited for so that none is left as a zombie.
        await asyncio.shield(child.process.wait())


def read_answer(line: Mapping[str, Any], contents: list[bytes]) -> Rendered:
    """What a child said, or the refusal that it meant."""
    match line.get("refused"):
        case "type":
            raise MediaTypeUnsupported(line["text"])
        case "large":
            raise MediaTooLarge(line["limit"], line["text"])
        case "corrupt":
            raise MediaCorrupt(line["text"])
        case _:
            sizes = zip(line["sizes"], contents, strict=True)
            return Rendered(
                line["media_type"],
                line["width"],
                line["height"],
                tuple(RenderedSize(size["name"], size["width"], size["height"], content) for size, content in sizes),
            )
