"""Answers kept as bytes, by method and the request's bytes: a hot public read skips parsing and the handler.

Only a servicer that set `call.cache_tag` is kept, because only it knows that its answer is the same for every caller.
An answer lives at most a second, and until its tag is dropped by whoever wrote.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

_MAX_TAGS_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: bytes
    tag: str
    until: float
    size: int


class AnswerCache:
    """A bounded store of serialized answers; the oldest goes when entries or bytes run out."""

    def __init__(
        self, *, max_entries: int = 10_000, max_bytes: int = 32 * 1024 * 1024, ttl_seconds: float = 1.0
    ) -> None:
        if ttl_seconds > 1.0:
            raise ValueError("an answer may be kept for at most one second")
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._ttl = ttl_seconds
        self._kept: OrderedDict[tuple[str, bytes], _Kept] = OrderedDict()
        self._by_tag: dict[str, set[tuple[str, bytes]]] = {}
        self._bytes = 0
        # When each tag was last dropped, counted in drops: an answer that was computed across a drop is not kept.
        self._drops = 0
        self._dropped: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0

    def __len__(self) -> int:
        return len(self._kept)

    def now(self) -> int:
        """The cache's own time, to be taken before the handler reads; `keep` wants it back."""
        return self._drops

    def get(self, method: str, request: bytes) -> bytes | None:
        """The kept answer to exactly these bytes, or None."""
        kept = self._kept.get((method, request))
        if kept is None:
            return None
        if kept.until < time.monotonic():
            self._remove((method, request))
            return None
        return kept.answer

    def keep(self, method: str, request: bytes, answer: bytes, tag: str, since: int) -> None:
        """Keep an answer whose handler began at `since`, unless its tag was dropped meanwhile."""
        if since < self._forgotten or self._dropped.get(tag, 0) > since:
            return
        size = len(request) + len(answer) + 300  # the entry itself
        if size > self._max_bytes // 16 or self._ttl <= 0:
            return
        key = (method, request)
        self._remove(key)
        self._kept[key] = _Kept(answer, tag, time.monotonic() + self._ttl, size)
        self._by_tag.setdefault(tag, set()).add(key)
        self._bytes += size
        while len(self._kept) > self._max_entries or self._bytes > self._max_bytes:
            self._remove(next(iter(self._kept)))

    def drop(self, tag: str) -> None:
        """Forget the answers under the tag, and those that are being computed now."""
        self._drops += 1
        self._dropped[tag] = self._drops
        self._dropped.move_to_end(tag)
        if len(self._dropped) > _MAX_TAGS_REMEMBERED:
            _, self._forgotten = self._dropped.popitem(last=False)
        for key in list(self._by_tag.get(tag, ())):
            self._remove(key)

    def clear(self) -> None:
        """Forget everything, for instance when invalidations may have been missed."""
        self._drops += 1
        self._forgotten = self._drops
        self._kept.clear()
        self._by_tag.clear()
        self._bytes = 0

    def _remove(self, key: tuple[str, bytes]) -> None:
        kept = self._kept.pop(key, None)
        if kept is None:
            return
        self._bytes -= kept.size
        keys = self._by_tag.get(kept.tag)
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self._by_tag[kept.tag]
