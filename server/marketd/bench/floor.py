"""A floor: a bare grpc.aio server process without interceptors that answers given bytes after given SQL.

`default` is asyncio and grpc as they come; `tuned` has the event loop and channel options of our workers (their poller
setting is in the environment that it is started with). It prints `FLOOR on HOST:PORT` and ends with its parent.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
import uvloop
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2

from marketd.bench import plan
from marketd.bench.plan import FloorMethod, Shape
from marketd.process.parent import end_with_parent
from marketd.transport.server import ServerOptions

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[bytes, bytes]

_POOL_SIZE = 10
# As many as the relay and the job runner work on at a time.
_AT_ONCE = 4
_MESSAGES_AN_ACK = 10
_PONG = tracking_service_pb2.StreamLocationsResponse(pong=tracking_service_pb2.Pong()).SerializeToString()


class Published:
    """What the uplink has published so far; each watcher waits on a future of its own, over the same bytes."""

    def __init__(self) -> None:
        self.count = 0
        self._waiters: list[asyncio.Future[None]] = []

    def publish(self) -> None:
        """One more event."""
        self.count += 1
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def wait(self) -> asyncio.Future[None]:
        """A future that the next event completes."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter


async def keep_as_is(_connection: Any) -> None:
    """Instead of the pool's reset: nothing here changes a connection's state, and a floor does no needless work."""


def unary(method: FloorMethod, pool: asyncpg.Pool | None) -> Callable[[bytes, Context], Awaitable[bytes]]:
    """The handler of a unary method, with no more in it than its SQL needs."""
    answer, statements = method.answer, tuple(method.statements)
    if not statements or pool is None:

        async def answer_bytes(_request: bytes, _context: Context) -> bytes:
            return answer

        return answer_bytes

    turns = itertools.cycle(method.call_arguments)
    makes_ids = '"new"' in json.dumps(method.call_arguments[0])

    async def run(connection: Any, arguments: plan.Arguments) -> None:
        for statement, values in zip(statements, arguments, strict=True):
            await connection.fetch(statement, *values)

    async def answer_after_sql(_request: bytes, _context: Context) -> bytes:
        arguments = with_new_ids(next(turns)) if makes_ids else next(turns)
        async with pool.acquire() as connection:
            if method.transaction:
                async with connection.transaction():
                    await run(connection, arguments)
            else:
                await run(connection, arguments)
        return answer

    return answer_after_sql


def backlog(method: FloorMethod, pool: asyncpg.Pool | None) -> Callable[[bytes, Context], Awaitable[bytes]]:
    """The handler of a backlog: a claim, a transaction for each of its rows, a few of them at once, and the mark."""
    given = method.backlog
    if given is None or pool is None:
        raise ValueError(f"{method.operation} has no backlog")
    claim, statements, mark = given.claim, tuple(given.statements), given.mark

    async def each(rows: Iterator[Any]) -> None:
        async with pool.acquire() as connection:
            for row in rows:
                async with connection.transaction():
                    for index, statement in enumerate(statements):
                        await connection.fetch(statement, row[index])

    async def work_off(_request: bytes, _context: Context) -> bytes:
        async with pool.acquire() as connection:
            while claimed := await connection.fetch(claim):
                rows = iter(claimed)  # shared: whoever is free takes the next
                await asyncio.gather(*(each(rows) for _ in range(_AT_ONCE)))
                if mark:
                    await connection.execute(mark, [row[0] for row in claimed])
        return method.answer

    return work_off


def with_new_ids(arguments: plan.Arguments) -> list[list[Any]]:
    """The arguments with `{"new": n}` replaced by ids of this call."""
    made: dict[int, uuid.UUID] = {}

    def real(value: Any) -> Any:
        if isinstance(value, list):
            return [real(member) for member in value]
        return made.setdefault(value["new"], uuid.uuid4()) if isinstance(value, dict) else value

    return [[real(value) for value in values] for values in arguments]


def uplink(method: FloorMethod, published: Published) -> Callable[[Any, Context], Awaitable[None]]:
    """The handler of a stream of positions: hello, a ping that is answered, then messages, one ack in ten."""
    step = method.positions_per_message

    async def take(_requests: Any, context: Context) -> None:
        read: Callable[[], Awaitable[Any]] = context.read
        write = context.write
        hello = tracking_service_pb2.StreamLocationsRequest.FromString(await read()).hello
        acked, count = hello.last_acked_seq, 0
        await read()
        await write(_PONG)
        while await read() is not grpc.aio.EOF:
            acked += step
            count += 1
            published.publish()
            if not count % _MESSAGES_AN_ACK:
                ack = position_pb2.Ack(acked_seq=acked)
                await write(tracking_service_pb2.StreamLocationsResponse(ack=ack).SerializeToString())

    return take


def watch(method: FloorMethod, published: Published) -> Callable[[bytes, Context], Awaitable[None]]:
    """The handler of a watcher: its own loop over shared bytes."""
    answer = method.answer

    async def follow(_request: bytes, context: Context) -> None:
        seen, write = published.count, context.write
        await write(answer)
        while True:
            while seen < published.count:
                seen += 1
                await write(answer)
            await published.wait()

    return follow


class Floor(grpc.GenericRpcHandler):
    """One generic handler with one dict: registered methods would cost every call."""

    def __init__(self, methods: Sequence[FloorMethod], pool: asyncpg.Pool | None) -> None:
        published = Published()
        self._handlers: dict[str, Any] = {}
        for method in methods:
            match method.shape:
                case Shape.UNARY:
                    handler: Any = grpc.unary_unary_rpc_method_handler(unary(method, pool))
                case Shape.UPLINK:
                    handler = grpc.stream_stream_rpc_method_handler(uplink(method, published))
                case Shape.WATCH:
                    handler = grpc.unary_stream_rpc_method_handler(watch(method, published))
                case Shape.BACKLOG:
                    handler = grpc.unary_unary_rpc_method_handler(backlog(method, pool))
            self._handlers[method.path] = handler

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of the path, if there is one."""
        return self._handlers.get(handler_call_details.method)


async def serve(methods: Sequence[FloorMethod], dsn: str, *, tuned: bool) -> None:
    """Serve until the process is ended."""
    pool: asyncpg.Pool | None = None
    if any(method.statements or method.backlog for method in methods):
        pool = await asyncpg.create_pool(dsn, min_size=_POOL_SIZE, max_size=_POOL_SIZE, reset=keep_as_is)
    server = grpc.aio.server(options=ServerOptions(reuse_port=True).channel_arguments() if tuned else None)
    server.add_generic_rpc_handlers((Floor(methods, pool),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"FLOOR on 127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


def main() -> None:
    """Read the plan and serve it."""
    parser = argparse.ArgumentParser(prog="marketd.bench.floor", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--variant", choices=("default", "tuned"), required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # a shell's background jobs begin with it ignored
    end_with_parent(arguments.parent)
    methods = plan.load(arguments.plan.read_text())
    tuned = arguments.variant == "tuned"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if tuned else None) as runner:
        runner.run(serve(methods, arguments.dsn, tuned=tuned))


if __name__ == "__main__":
    main()
