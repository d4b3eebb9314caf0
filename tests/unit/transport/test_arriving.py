"""Calls that wait for their message: what it costs others that they do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from marketd.transport.edge.arriving import Arriving, Waiting


class Context:
    """A call that counts how often its headers are read."""

    def __init__(self) -> None:
        self.looks = 0

    def peer(self) -> str:
        """Always the same address."""
        return "ipv4:192.0.2.1:4711"

    def invocation_metadata(self) -> Iterator[tuple[str, Any]]:
        """Headers as grpcio gives them, made at each call."""
        self.looks += 1
        return iter([(f"x-{number}", "") for number in range(100)])


async def test_whoever_comes_late_does_not_read_the_headers_of_all_that_wait() -> None:
    arriving, contexts = Arriving(1_000, 10), [Context() for _ in range(30)]
    waiting = [Waiting(context, 10.0, 1) for context in contexts]
    for one in waiting:
        one.task = None  # the test's own, which is not to be cancelled
        arriving.add(one)
    assert len(arriving) == 10
    assert list(arriving) == waiting[20:]
    assert max(context.looks for context in contexts) == 1
