"""Keyset pages: opaque tokens that are bound to their query and caller (AIP-158), and the page size rule."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from marketd.kernel.call.refusals import PageTokenInvalid

DEFAULT_PAGE_SIZE = 25
MAX_PAGE_SIZE = 100

CursorValue: TypeAlias = str | int | None
Cursor: TypeAlias = tuple[CursorValue, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of results; `next_page_token` is empty on the last one."""

    items: Sequence[T]
    next_page_token: str


def clamp_page_size(asked: int) -> int:
    """The size to use: 25 when none is asked, at most 100."""
    return min(asked, MAX_PAGE_SIZE) if asked > 0 else DEFAULT_PAGE_SIZE


class PageTokens:
    """Makes and reads page tokens. The HMAC keeps a client from walking somebody else's keyset."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"page-tokens", "sha256")

    def issue(self, query: str, caller_key: str, cursor: Cursor) -> str:
        """A token that goes on after `cursor`; `query` is the method and every filter and order in one text."""
        body = json.dumps(cursor, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._sign(query, caller_key, body) + body).decode().rstrip("=")

    def read(self, token: str, query: str, caller_key: str) -> Cursor | None:
        """The cursor of a token, or None for an empty one. Raises PageTokenInvalid."""
        if not token:
            return None
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError as error:
            raise PageTokenInvalid from error
        signature, body = raw[:16], raw[16:]
        if not hmac.compare_digest(signature, self._sign(query, caller_key, body)):
            raise PageTokenInvalid
        return tuple(json.loads(body))

    def page(self, rows: Sequence[T], size: int, query: str, caller_key: str, cursor: Cursor | None) -> Page[T]:
        """A page from `size + 1` fetched rows; `cursor` is that of the last row shown (`rows[size - 1]`)."""
        if len(rows) <= size or cursor is None:
            return Page(rows[:size], "")
        return Page(rows[:size], self.issue(query, caller_key, cursor))

    def _sign(self, query: str, caller_key: str, body: bytes) -> bytes:
        material = hashlib.sha256(f"{query}\0{caller_key}\0".encode() + body).digest()
        return hmac.digest(self._key, material, "sha256")[:16]
