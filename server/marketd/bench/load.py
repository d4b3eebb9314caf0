"""A load process: raw bytes over grpc.aio, so that the load costs little beside what it loads.

It reads a line of work (work.py) from standard input, gets ready, says `ready`, waits for `go`, works, and writes what
it found as one line. It ends when its input does.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import uvloop
from marketplace.auth.v1 import auth_service_pb2

from marketd.bench import load_streams, load_web, work
from marketd.bench.load_channels import bearer, open_channels
from marketd.bench.work import Calls, Found, Refreshes

_LONGEST_LINE = 256 * 1024 * 1024
_CALL_SECONDS = 10.0

Run = Callable[[], Awaitable[Found]]


class Tally:
    """What a loop of calls has met so far."""

    def __init__(self) -> None:
        self.latencies_us: list[int] = []
        self.refused: Counter[str] = Counter()

    async def call(self, method: Any, request: bytes, token: str) -> bytes | None:
        """One call; None when it was refused."""
        begun = time.perf_counter_ns()
        try:
            answer: bytes = await method(request, metadata=bearer(token), timeout=_CALL_SECONDS)
        except grpc.aio.AioRpcError as refusal:
            self.refused[_describe(refusal)] += 1
            return None
        self.latencies_us.append((time.perf_counter_ns() - begun) // 1000)
        return answer

    def found(self, begun: float, tokens: Sequence[str] = ()) -> Found:
        """The findings of what began at `begun` (perf_counter) and is over now."""
        seconds = time.perf_counter() - begun
        return Found(len(self.latencies_us), seconds, self.latencies_us, dict(self.refused), tokens)


@asynccontextmanager
async def calls(given: Calls) -> AsyncIterator[Run]:
    """Ready for `Calls`."""
    async with AsyncExitStack() as stack:
        channels = await open_channels(stack, given.target, given.connections)
        methods: list[Any] = [channel.unary_unary(given.path) for channel in channels]

        async def run() -> Found:
            tally, begun = Tally(), time.perf_counter()
            end = begun + given.seconds if given.seconds is not None else None
            turns: Iterator[tuple[str, bytes]] = (
                iter(given.requests) if end is None else itertools.cycle(given.requests)
            )

            async def loop(method: Any) -> None:
                for token, request in turns:
                    if await tally.call(method, request, token) is None or (end and time.perf_counter() > end):
                        return
                    if given.pause_seconds:
                        await asyncio.sleep(given.pause_seconds)

            async with asyncio.TaskGroup() as tasks:
                for index in range(given.in_flight):
                    tasks.create_task(loop(methods[index % len(methods)]))
            return tally.found(begun)

        yield run


@asynccontextmanager
async def refreshes(given: Refreshes) -> AsyncIterator[Run]:
    """Ready for `Refreshes`."""
    async with AsyncExitStack() as stack:
        channels = await open_channels(stack, given.target, given.connections)
        methods: list[Any] = [channel.unary_unary(given.path) for channel in channels]

        async def run() -> Found:
            tally, begun = Tally(), time.perf_counter()
            end = begun + given.seconds
            tokens = list(given.tokens)

            async def chain(index: int) -> None:
                method = methods[index % len(methods)]
                while time.perf_counter() < end:
                    request = auth_service_pb2.RefreshTokensRequest(refresh_token=tokens[index])
                    answer = await tally.call(method, request.SerializeToString(), "")
                    if answer is None:
                        return
                    tokens[index] = auth_service_pb2.RefreshTokensResponse.FromString(answer).tokens.refresh_token

            async with asyncio.TaskGroup() as tasks:
                for index in range(len(tokens)):
                    tasks.create_task(chain(index))
            return tally.found(begun, tokens)

        yield run


async def serve() -> None:
    """Take work until the input ends."""
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    ready: dict[type[work.Work], Callable[[Any], Any]] = {
        work.Calls: calls,
        work.WebCalls: load_web.web_calls,
        work.Refreshes: refreshes,
        work.Positions: load_streams.positions,
        work.Fanout: load_streams.fanout,
    }
    while line := await reader.readline():
        given = work.load(line.decode())
        try:
            async with ready[type(given)](given) as run:
                _say("ready")
                await reader.readline()
                # Said before the streams are closed: closing them is not what is measured.
                _say(work.dump_found(await run()))
        except* (grpc.aio.AioRpcError, OSError, load_streams.Unexpected) as problems:
            _say(work.dump_found(Found(0, 0, [], Counter(_describe(problem) for problem in _leaves(problems)))))


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _describe(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Work until the input ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
