"""The load processes as the benchmark holds them: started once, given work in turn, ended at the end."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from marketd.bench import work
from marketd.bench.work import Found, Work

_LONGEST_LINE = 64 * 1024 * 1024
_WORK_SECONDS = 300.0


class LoadFailed(Exception):
    """A load process ended, or met something that voids the measure."""


class LoadClients:
    """A few load processes; each takes one piece of the work at a time."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process]) -> None:
        self._processes = processes

    @property
    def count(self) -> int:
        """How many pieces of work can run at once."""
        return len(self._processes)

    async def run(self, pieces: Sequence[Work], begin: Callable[[], object]) -> Found:
        """Have all pieces made ready, call `begin`, let them run together, and put their findings together.

        pieces: at most `count`. Raises LoadFailed when anything was refused: a measure of errors is void.
        """
        used = self._processes[: len(pieces)]
        async with asyncio.timeout(_WORK_SECONDS):
            lines = await _each(used, [work.dump(piece) for piece in pieces])
            early = [work.load_found(line) for line in lines if line != "ready"]
            if early:
                await _each([process for process, line in zip(used, lines, strict=True) if line == "ready"], None)
                raise LoadFailed(_refusals(work.merge(early)))
            begin()
            found = work.merge([work.load_found(line) for line in await _each(used, None)])
        if found.refused or not found.count:
            raise LoadFailed(_refusals(found))
        return found


@asynccontextmanager
async def load_clients(count: int) -> AsyncIterator[LoadClients]:
    """`count` load processes while the block runs."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GRPC_")}
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "marketd.bench.load",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            limit=_LONGEST_LINE,
        )
        for _ in range(count)
    ]
    try:
        yield LoadClients(processes)
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*(process.wait() for process in processes))


async def _each(processes: Sequence[asyncio.subprocess.Process], lines: Sequence[str] | None) -> list[str]:
    """Give every process its line (`go` without any) and read a line of each."""
    for index, process in enumerate(processes):
        assert process.stdin is not None  # noqa: S101 - it was made with pipes
        process.stdin.write((lines[index] if lines is not None else "go").encode() + b"\n")
    answers: list[Awaitable[str]] = [_line(process) for process in processes]
    return await asyncio.gather(*answers)


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - it was made with pipes
    await process.stdin.drain()
    line = await process.stdout.readline()
    if not line:
        raise LoadFailed("a load process ended by itself")
    return line.decode().rstrip("\n")


def _refusals(found: Found) -> str:
    if not found.refused:
        return "nothing was done"
    total = sum(found.refused.values())
    most = sorted(found.refused.items(), key=lambda item: -item[1])[:3]
    return f"{total} failed: " + "; ".join(f"{times} times {status}" for status, times in most)
