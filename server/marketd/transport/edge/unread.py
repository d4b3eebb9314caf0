"""Answers that were given and have not gone out: what readers who do not read may cost.

grpcio sends a unary call's answer, and the status of a stream that did not read, when the handler is done; then it
waits for the reader's window for as long as the connection lasts, and nothing in Python can end that. So they are
counted here by address, in bytes, until the core has sent them, and whoever leaves too much unread gets nothing more
to leave.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from marketd.kernel.call.refusals import Overloaded
from marketd.transport.passage import Passage

OVERHEAD_BYTES: Final = 8 * 1024
"""What a call costs that is still there, besides its answer."""
_LOOK_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class UnreadBounds:
    """Bytes. Beyond `in_all`, only a source that leaves nothing unread gets answers, and none whose address left more
    than `of_address`.
    """

    of_source: int = 2 * 1024 * 1024
    of_address: int = 16 * 1024 * 1024
    in_all: int = 32 * 1024 * 1024


class Unread:
    """The answers of this process that have not gone out, as far as the last look knows.

    The source of a call is its connection, or behind a trusted proxy, whose connections carry many people's calls, the
    address: so whoever reads is served beside a neighbour who does not.
    """

    def __init__(self, bounds: UnreadBounds) -> None:
        self._bounds = bounds
        self._enough = min(bounds.of_source, bounds.in_all)
        self._left: list[Passage] = []
        self._fresh = 0
        """Bytes that were added since the last look, most of which have gone out."""
        self._of_source: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()
        self._total = 0
        self._looked = 0.0

    @property
    def count(self) -> int:
        """How many answers have not gone out; since the last look, some of them were only on their way."""
        return len(self._left)

    @property
    def total_bytes(self) -> int:
        """What those cost together that the last look found."""
        return self._total

    def add(self, passage: Passage) -> None:
        """The handler is done and its answer, or its status, goes out from here on."""
        self._left.append(passage)
        self._fresh += passage.answer_bytes + OVERHEAD_BYTES

    def judge(self, passage: Passage) -> None:
        """Raises Overloaded for a call whose source has left too much unread."""
        if self._fresh <= self._enough and self._total <= self._enough:
            return
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self.look()
        if self._is_over(passage):
            raise Overloaded

    def look(self) -> None:
        """Forget what has gone out since the last look, and count the rest."""
        self._looked, self._fresh = time.monotonic(), 0
        if not self._left:
            return
        self._left = [passage for passage in self._left if passage.task is not None and not passage.task.done()]
        self._of_source, self._of_address, self._total = Counter(), Counter(), 0
        for passage in self._left:
            size = passage.answer_bytes + OVERHEAD_BYTES
            self._of_source[passage.source] += size
            self._of_address[passage.network] += size
            self._total += size

    def _is_over(self, passage: Passage) -> bool:
        bounds, mine = self._bounds, self._of_source.get(passage.source, 0)
        if self._total <= bounds.in_all:
            return mine > bounds.of_source
        return mine > 0 or self._of_address.get(passage.network, 0) > bounds.of_address
