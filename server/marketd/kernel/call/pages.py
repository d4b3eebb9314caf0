"""Lists: keyset pages, with opaque tokens bound to their query and caller (AIP-158), and `order_by` (AIP-132)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar, cast
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import FieldViolation, PageTokenInvalid, ValidationFailed
from marketd.kernel.call.tokens import SignedToken
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit

DEFAULT_PAGE_SIZE = 25
MAX_PAGE_SIZE = 100
# A page ends early rather than grow beyond what clients take in one message (4 MiB by default).
MAX_PAGE_BYTES = 2 * 1024 * 1024

CursorValue: TypeAlias = "str | int | UUID | datetime | None"


class ListRequest(Protocol):
    """The request of a list rpc: a protobuf message with the two page fields."""

    page_size: int
    page_token: str

    def CopyFrom(self, other: Self, /) -> None: ...  # noqa: N802 - protobuf's names, here and below

    def ClearField(self, field_name: Any, /) -> None: ...  # noqa: N802

    def DiscardUnknownFields(self) -> None: ...  # noqa: N802

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802


class Shown(Protocol):
    """A protobuf message of a page."""

    def ByteSize(self) -> int: ...  # noqa: N802 - protobuf's name


T = TypeVar("T")
S = TypeVar("S", bound=Shown)
K = TypeVar("K", bound="CursorValue | tuple[CursorValue, ...]")


@dataclass(frozen=True, slots=True)
class Page(Generic[S]):
    """One page of messages; `next_page_token` is empty on the last one."""

    items: Sequence[S]
    next_page_token: str


class Pager:
    """Answers lists on one transactor. The token keeps a client from walking somebody else's keyset."""

    def __init__(self, tx: Transactor, secret: bytes) -> None:
        self._tx = tx
        self._tokens = SignedToken(secret, "page-tokens")

    async def list(
        self,
        request: ListRequest,
        caller: Caller | None,
        fetch: Callable[[ReadUnit, K | None, int], Awaitable[Sequence[T]]],
        cursor_of: Callable[[T], K],
        show: Callable[[T], S],
    ) -> Page[S]:
        """The page that `request` asks for. Raises PageTokenInvalid, and what `fetch` raises.

        `caller` binds the token where the answer depends on who asks; None is everybody. `fetch(unit, after, limit)`
        reads at most `limit` rows (2..101) that come after the cursor; `cursor_of` gives the sort key of a row, a value
        or a tuple of them; `show` makes the message of a row.
        """
        context = _context(request, caller)
        after = cast("K | None", self._read(request.page_token, context))
        size = clamp_page_size(request.page_size)
        rows = await self._tx.read(lambda unit: fetch(unit, after, size + 1))
        items: list[S] = []
        room = MAX_PAGE_BYTES
        for row in rows[:size]:
            item = show(row)
            room -= item.ByteSize()
            if items and room < 0:
                break
            items.append(item)
        if len(items) == len(rows):
            return Page(items, "")
        return Page(items, self._issue(cursor_of(rows[len(items) - 1]), context))

    def token(self, request: ListRequest, caller: Caller | None, cursor: CursorValue) -> str:
        """The token by which the list that `request` asks for goes on behind the cursor, for whoever has shown what is
        before it in another way. `caller` as in `list`.
        """
        return self._issue(cursor, _context(request, caller))

    def _issue(self, cursor: object, context: bytes) -> str:
        body = json.dumps(cursor, separators=(",", ":"), default=_plain).encode()
        return self._tokens.issue(body, context).decode("ascii")

    def _read(self, token: str, context: bytes) -> object:
        if not token:
            return None
        body = self._tokens.read(token, context)
        if body is None:
            raise PageTokenInvalid
        cursor = json.loads(body, object_hook=_typed)
        return tuple(cursor) if isinstance(cursor, list) else cursor


def clamp_page_size(asked: int) -> int:
    """The size to use: 25 when none is asked, at most 100."""
    return min(asked, MAX_PAGE_SIZE) if asked > 0 else DEFAULT_PAGE_SIZE


def _context(request: ListRequest, caller: Caller | None) -> bytes:
    return _query(request) + b"\0" + (b"everybody" if caller is None else caller.key.encode())


def _query(request: ListRequest) -> bytes:
    """What was asked, without which page of it: the request's type (one a method) and its other fields."""
    asked = type(request)()
    asked.CopyFrom(request)
    asked.ClearField("page_size")
    asked.ClearField("page_token")
    asked.DiscardUnknownFields()
    name = f"{type(request).__module__}.{type(request).__name__}\0"
    return hashlib.blake2b(name.encode() + asked.SerializeToString(deterministic=True), digest_size=16).digest()


def _plain(value: object) -> dict[str, str]:
    if isinstance(value, UUID):
        return {"id": value.hex}
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    raise TypeError(f"{type(value).__name__} cannot stand in a page token")


def _typed(found: dict[str, str]) -> object:
    return UUID(hex=found["id"]) if "id" in found else datetime.fromisoformat(found["time"])


def parse_order(text: str, names: Sequence[str], default: str) -> tuple[str, bool]:
    """The name to sort by and whether it is descending; an empty text means `default`, which is written the same way.

    names: what this list can be sorted by. Raises ValidationFailed at `order_by`, which says what there is. Every list
    here is sorted by one name; what makes its order whole, an id, is the list's own.
    """
    name, *way = (text if text.strip() else default).split()
    if name not in names or way not in ([], ["asc"], ["desc"]):
        known = ", ".join(names)
        raise ValidationFailed(FieldViolation("order_by", f"must be one of {known}, alone or with ` desc` behind it"))
    return name, way == ["desc"]
