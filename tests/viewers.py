"""The table of viewers (docs/viewers.md) as the tests read it, and what of a message it forbids.

A message is looked through by its descriptor, so no field can be forgotten: what the page does not name is forbidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import Message

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "viewers.md"
KINDS: Final = ("buyer", "seller", "courier", "admin", "service")
_CLOSED: Final = 7
"""marketplace.delivery.v1.DELIVERY_STATE_CLOSED."""
_NOT: Final = "\N{EN DASH}"
_GROUP: Final = re.compile(r"([\w.]*)\{([^}]*)\}|([\w.]+)")


@dataclass(frozen=True)
class Table:
    """Of one message: who (a column) sees which fields (paths; a path may end at a message that has its own table)."""

    name: str
    columns: tuple[str, ...]
    rows: Mapping[str, frozenset[str]]

    @property
    def viewers(self) -> frozenset[str]:
        """The columns without their conditions."""
        return frozenset(column.partition(",")[0] for column in self.columns)

    def column(self, viewer: str, message: Message) -> str:
        """The viewer's column for a message in the state in which it is."""
        if viewer in self.columns:
            return viewer
        is_closed = getattr(message, "state", 0) == _CLOSED
        return f"{viewer}, {'closed' if is_closed else 'open'}"


@dataclass(frozen=True)
class Page:
    """The whole page."""

    found: Mapping[str, Mapping[str, str]]
    tables: Mapping[str, Table]
    alike: frozenset[str]


@dataclass(frozen=True)
class Viewer:
    """Somebody who asks; `kind` is one of KINDS or `anonymous`. Ids are empty where the viewer has none."""

    name: str
    kind: str
    user_id: str = ""
    seller_id: str = ""
    courier_id: str = ""


@dataclass
class Seen:
    """What was rendered for whom, over a whole walk."""

    messages: set[str] = field(default_factory=set)
    fields: set[tuple[str, str, str]] = field(default_factory=set)
    """(message, column, path)."""


@cache
def read_page() -> Page:
    """The page; malformed tables fail here."""
    found: dict[str, Mapping[str, str]] = {}
    tables: dict[str, Table] = {}
    alike: set[str] = set()
    for head, rows in _raw_tables(PAGE.read_text()):
        name, columns = head[0], tuple(head[1:])
        if name == "thing":
            found = {row[0]: dict(zip(columns, row[1:], strict=True)) for row in rows}
        elif name == "messages":
            alike |= {each for row in rows for each in row[0].split(", ")}
        else:
            shown: dict[str, frozenset[str]] = {}
            for row in rows:
                cells = dict(zip(columns, row[1:], strict=True))
                assert set(cells.values()) <= {"yes", _NOT}, row
                for path in _paths(row[0]):
                    assert path not in shown, f"{name}.{path} stands there twice"
                    shown[path] = frozenset(column for column, cell in cells.items() if cell == "yes")
            assert name not in tables, name
            tables[name] = Table(name, columns, shown)
    return Page(found, tables, frozenset(alike))


def _raw_tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
        yield head, rows


def _paths(cell: str) -> list[str]:
    """`a, b.{c, d}` as a, b.c, b.d."""
    found: list[str] = []
    for before, inside, plain in _GROUP.findall(cell):
        found += [before + each.strip() for each in inside.split(",")] if inside else [plain]
    return found


def is_own(descriptor: Any) -> bool:
    """Whether it is a message of ours, no map and nobody else's."""
    return (
        descriptor is not None
        and descriptor.full_name.startswith("marketplace.")
        and not descriptor.GetOptions().map_entry
    )


def leaves(descriptor: Any, page: Page) -> Iterator[str]:
    """The paths that a table of the message has to name: down to what has a table of its own or is alike for all."""
    for each in descriptor.fields:
        below = each.message_type
        if not is_own(below) or below.name in page.tables or below.name in page.alike:
            yield each.name
        else:
            yield from (f"{each.name}.{path}" for path in leaves(below, page))


def parts(message: Message, page: Page, above: str = "") -> Iterator[tuple[str, Any]]:
    """The set fields of the message, as `leaves` names them, with each of their values."""
    for each, value in message.ListFields():
        path = f"{above}{each.name}"
        below: Any = each.message_type
        is_map = below is not None and below.GetOptions().map_entry
        values = list(value.values()) if is_map else value if each.is_repeated else (value,)
        expands = is_own(below) and below.name not in page.tables and below.name not in page.alike
        for one in values:
            if expands:
                yield from parts(one, page, f"{path}.")
            else:
                yield path, one


def judge(viewer: Viewer, message: Message, seen: Seen | None = None) -> list[str]:
    """What of the message the viewer must not see, as `Order.address.phone for seller`; empty when all is well."""
    page, name = read_page(), message.DESCRIPTOR.name
    table = page.tables.get(name)
    if seen is not None:
        seen.messages.add(name)
    wrong: list[str] = []
    shown: frozenset[str] | None = None
    column = ""
    if table is not None:
        stands = standing(viewer, message)
        if stands not in table.viewers:
            return [f"{name} for {viewer.name}"]
        column = table.column(stands, message)
        shown = frozenset(path for path, columns in table.rows.items() if column in columns)
    below = parts(message, page) if table is not None or name in page.alike else _fields(message)
    for path, value in below:
        if shown is not None and path not in shown:
            wrong.append(f"{name}.{path} for {column}")
        if seen is not None and shown is not None:
            seen.fields.add((name, column, path))
        if isinstance(value, Message) and is_own(value.DESCRIPTOR):
            wrong += judge(viewer, value, seen)
    return wrong


def standing(viewer: Viewer, message: Any) -> str:
    """How the viewer stands to this very thing, by its ids; what is not the viewer's has no column."""
    me, kind = viewer.user_id, viewer.kind
    match message.DESCRIPTOR.name:
        case "User":
            return kind if kind in ("admin", "service") and message.user_id != me else _mine(me, message.user_id)
        case "SavedAddress":
            return "owner"
        case "Seller" if kind not in ("admin", "service"):
            return "owner" if me and message.owner_user_id == me else "everybody"
        case "Review" if kind not in ("admin", "service"):
            return "author" if me and message.author_user_id == me else "everybody"
        case "Media" if kind != "admin":
            return "owner" if me and message.owner_user_id == me else "everybody"
        case "Courier" if kind != "admin":
            return "courier" if message.user_id == me else "nobody"
        case "Order" | "Delivery" | "Payment" | "OrderGroup":
            theirs = {
                "buyer": ("buyer_id", me),
                "seller": ("seller_id", viewer.seller_id),
                "courier": ("courier_id", viewer.courier_id),
            }
            name, mine = theirs.get(kind, ("", ""))
            found = getattr(message, name, "") or getattr(getattr(message, "courier", None), name, "")
            return "nobody" if mine and found and found != mine else kind
    return kind


def _mine(me: str, user_id: str) -> str:
    # Who has just registered or signed in was nobody before.
    return "owner" if not me or user_id == me else "nobody"


def _fields(message: Message) -> Iterator[tuple[str, Any]]:
    """The set fields of what only carries others, such as a response."""
    for each, value in message.ListFields():
        is_map = each.message_type is not None and each.message_type.GetOptions().map_entry
        for one in value.values() if is_map else value if each.is_repeated else (value,):
            yield each.name, one


def texts(message: Message, above: str = "") -> Iterator[tuple[str, str]]:
    """Every text of the message, with its path."""
    for path, value in _fields(message):
        if isinstance(value, Message):
            yield from texts(value, f"{above}{path}.")
        elif isinstance(value, str):
            yield f"{above}{path}", value
