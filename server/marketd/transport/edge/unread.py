"""Answers that were given and have not gone out: what readers who do not read may cost.

grpcio sends the one answer of a call, and the status of a stream that did not read, when the handler is done; then it
waits for the reader's window for as long as the connection lasts, and nothing in Python can end that. So they are
counted here, in bytes, until the core has sent them, and whoever leaves too much unread gets nothing more to leave.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final, NamedTuple

from marketd.kernel.call.refusals import Overloaded
from marketd.transport.passage import Passage

OVERHEAD_BYTES: Final = 8 * 1024
"""What a call costs that is still there, besides its answer."""
STALE_SECONDS: Final = 0.25
"""Younger answers are taken to be on their way."""
_LOOK_SECONDS: Final = 0.01
_FEW: Final = 32


@dataclass(frozen=True, slots=True)
class UnreadBounds:
    """Bytes. What is stale counts, and of one source also what is on its way, as more than `rushing`.

    Beyond `of_address` (of one address) and `in_all`, sources that have left something get nothing more; beyond
    `in_all` nobody at an address that has left more than `of_address`. So others pay only beside somebody who has left
    very much, at the same address.
    """

    of_source: int = 2 * 1024 * 1024
    rushing: int = 8 * 1024 * 1024
    of_address: int = 4 * 1024 * 1024
    in_all: int = 32 * 1024 * 1024


class _Left(NamedTuple):
    """An answer that had not gone out when somebody looked; nothing of its request is kept."""

    task: asyncio.Task[object]
    source: str
    network: str
    size: int
    since: float
    """When it was first seen."""


class Unread:
    """The answers of this process that have not gone out, as far as the last look knows.

    The source of a call is its connection, or behind a trusted proxy, whose connections carry many people's calls, the
    address: so whoever reads is served beside a neighbour who does not.
    """

    def __init__(self, bounds: UnreadBounds) -> None:
        self._bounds = bounds
        self._left: list[_Left] = []
        self._added: list[tuple[asyncio.Task[object], str, str, int]] = []
        self._prune_at = _FEW
        self._fresh = 0
        """Bytes that were added since the last look, most of which have gone out."""
        self._rushing: Counter[str] = Counter()
        self._of_source: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()
        self._stale = 0
        self._total = 0
        self._looked = 0.0

    @property
    def count(self) -> int:
        """How many answers have not gone out; since the last look, some of them were only on their way."""
        return len(self._left) + len(self._added)

    @property
    def total_bytes(self) -> int:
        """What those cost together that the last look found."""
        return self._total

    @property
    def stale_bytes(self) -> int:
        """What those cost of them that are taken to be left."""
        return self._stale

    def add(self, passage: Passage) -> None:
        """The handler is done and its answer, or its status, goes out from here on. Call it in the call's own task."""
        if passage.task is not None:
            size = (passage.answer_bytes or 0) + OVERHEAD_BYTES
            self._added.append((passage.task, passage.source, passage.network, size))
            self._fresh += size
            # What has gone out is let go soon: whatever is kept makes the next call's memory cold.
            if len(self._added) >= self._prune_at:
                self._added = [each for each in self._added if not each[0].done()]
                self._prune_at = 2 * len(self._added) + _FEW

    def judge(self, passage: Passage) -> None:
        """Raises Overloaded for a call whose source has left too much unread."""
        if self._fresh > self._bounds.rushing and time.monotonic() - self._looked > _LOOK_SECONDS:
            self.look()
        if self._total and self._is_over(passage):
            raise Overloaded

    def look(self) -> None:
        """Forget what has gone out since the last look, and count the rest."""
        now = self._looked = time.monotonic()
        self._fresh = 0
        added, self._added, self._prune_at = self._added, [], _FEW
        seen = [_Left(*each, now) for each in added if not each[0].done()]
        if not self._left and not seen and not self._total:
            return
        self._left = [left for left in self._left if not left.task.done()] + seen
        self._rushing, self._of_source, self._of_address = Counter(), Counter(), Counter()
        self._stale = self._total = 0
        for left in self._left:
            self._total += left.size
            self._rushing[left.source] += left.size
            if now - left.since > STALE_SECONDS:
                self._stale += left.size
                self._of_source[left.source] += left.size
                self._of_address[left.network] += left.size

    def _is_over(self, passage: Passage) -> bool:
        bounds, source = self._bounds, passage.source
        mine = self._of_source.get(source, 0)
        if mine > bounds.of_source or self._rushing.get(source, 0) > bounds.rushing:
            return True
        address_is_over = self._of_address.get(passage.network, 0) > bounds.of_address
        if self._stale > bounds.in_all:
            return mine > 0 or address_is_over
        return mine > 0 and address_is_over
