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
    """Bytes. `all_addresses` together; beyond it only those who leave nothing unread get answers."""

    of_address: int = 16 * 1024 * 1024
    all_addresses: int = 64 * 1024 * 1024


class Unread:
    """The answers of this process that have not gone out, as far as the last look knows."""

    def __init__(self, bounds: UnreadBounds) -> None:
        self._bounds = bounds
        self._left: list[Passage] = []
        self._bytes: Counter[str] = Counter()
        self._total = 0
        self._looked = 0.0

    @property
    def count(self) -> int:
        """How many answers have not gone out; a look ago, some of them were only on their way."""
        return len(self._left)

    @property
    def total_bytes(self) -> int:
        """What they cost together."""
        return self._total

    def add(self, passage: Passage) -> None:
        """The handler is done and its answer, or its status, goes out from here on."""
        size = passage.answer_bytes + OVERHEAD_BYTES
        self._left.append(passage)
        self._bytes[passage.network] += size
        self._total += size

    def judge(self, network: str) -> None:
        """Raises Overloaded for an address that has left too much unread."""
        if self._is_over(network) and (self._recent() or self._still_over(network)):
            raise Overloaded

    def look(self) -> None:
        """Forget what has gone out since the last look."""
        self._looked = time.monotonic()
        if not self._left:
            return
        self._left = [passage for passage in self._left if passage.task is not None and not passage.task.done()]
        self._bytes = Counter()
        for passage in self._left:
            self._bytes[passage.network] += passage.answer_bytes + OVERHEAD_BYTES
        self._total = sum(self._bytes.values())

    def _is_over(self, network: str) -> bool:
        mine = self._bytes.get(network, 0)
        return mine > self._bounds.of_address or (mine > 0 and self._total > self._bounds.all_addresses)

    def _recent(self) -> bool:
        return time.monotonic() - self._looked < _LOOK_SECONDS

    def _still_over(self, network: str) -> bool:
        self.look()
        return self._is_over(network)
