"""What an effect changed, field by field, as the audit log keeps it: texts that people read, and nothing secret.

Two values of one dataclass are compared. Left out are fields with `repr=False`, or whose metadata are UNSAID; places on
the map; bytes; what only counts changes (version, update_time), and keys that are made of other fields. A name that
looks secret is left out too until it is known to be none, so a forgotten mark leaks nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final
from uuid import UUID

from marketd.kernel.values.geo import Point
from marketd.kernel.values.money import Money

MAX_CHANGES: Final = 50
MAX_TEXT: Final = 500
CUT: Final = "…"
"""Where something was left out for its length: the end of a text, and the field of the line that says how many more."""
UNSAID: Final = {"audit": False}
"""Metadata of a field that the log leaves out: `field(metadata=UNSAID)`."""

_TECHNICAL: Final = frozenset({"version", "update_time", "point", "latitude", "longitude", "key"})
_SECRET_WORDS: Final = frozenset({"code", "codes", "secret", "token", "hash", "password", "sealed", "fingerprint"})
_NO_SECRETS: Final = frozenset(
    {"region_code", "postal_code", "language_code", "decline_code", "promo_code_id", "promo_code_ids"}
)


@dataclass(frozen=True, slots=True)
class AuditChange:
    """One field that changed, by its path such as `address.city`; None where it had, or has, no value."""

    field: str
    before: str | None
    after: str | None


def changes_between(before: object | None, after: object | None) -> tuple[AuditChange, ...]:
    """The fields that differ, in their order; None means that the thing is not there.

    At most MAX_CHANGES lines, of at most MAX_TEXT characters a value. Raises TypeError for two values of different
    dataclasses, and for what is none.
    """
    if before is not None and after is not None and type(before) is not type(after):
        raise TypeError(f"cannot compare {type(before).__name__} and {type(after).__name__}")
    if not all(each is None or is_dataclass(each) for each in (before, after)):
        raise TypeError("only dataclass values are compared")
    found: list[AuditChange] = []
    more = 0
    for path, old, new in _compare("", before, after, ""):
        if old == new:
            continue
        if len(found) < MAX_CHANGES:
            found.append(AuditChange(path, old, new))
        else:
            more += 1
    if more:
        found[-1] = AuditChange(CUT, None, f"{more + 1} more")
    return tuple(AuditChange(each.field, _cut(each.before), _cut(each.after)) for each in found)


def looks_secret(name: str) -> bool:
    """Whether a field of this name is left out unless it is known to be no secret."""
    return name not in _NO_SECRETS and not _SECRET_WORDS.isdisjoint(name.split("_"))


def is_said(field: Field[Any]) -> bool:
    """Whether the log keeps the field."""
    name = field.name
    return not (
        not field.repr
        or not field.metadata.get("audit", True)
        or name in _TECHNICAL
        or name.endswith("_key")
        or looks_secret(name)
    )


def _compare(path: str, before: Any, after: Any, currency: str) -> Iterator[tuple[str, str | None, str | None]]:
    """Path and both texts of each leaf below two values, of which one may be None."""
    either = after if before is None else before
    if isinstance(either, Point | bytes):
        return
    if _is_open(either):
        currency = getattr(either, "currency", currency)
        for name in _said(either):
            below = f"{path}.{name}" if path else name
            old, new = (None if each is None else getattr(each, name) for each in (before, after))
            if old == new:
                continue
            if name.endswith("_minor") and currency:
                below = below.removesuffix("_minor")
                old, new = (_as_money(name, each, currency) for each in (old, new))
            yield from _compare(below, old, new, currency)
    elif isinstance(either, Mapping) or _has_ids(either) or _has_ids(after):
        one, other = _by_key(before), _by_key(after)
        for key in [*one, *(key for key in other if key not in one)]:
            yield from _compare(f"{path}[{key}]", one.get(key), other.get(key), currency)
    else:
        yield path, _text(before, currency), _text(after, currency)


def _as_money(name: str, value: Any, currency: str) -> Any:
    """Minor units as money, where the currency is known; everything else as it is."""
    return Money(value, currency) if name.endswith("_minor") and currency and value is not None else value


def _said(value: Any) -> list[str]:
    return [field.name for field in fields(value) if is_said(field)]


def _is_open(value: object) -> bool:
    """Whether it is looked into; a dataclass with a text of its own, such as Money, is a leaf."""
    return is_dataclass(value) and type(value).__str__ is object.__str__


def _has_ids(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and _is_open(value[0]) and isinstance(_first(value[0]), UUID)


def _first(value: Any) -> object:
    return getattr(value, fields(value)[0].name)


def _by_key(value: Any) -> Mapping[str, Any]:
    if not value:
        return {}
    if isinstance(value, Mapping):
        return {str(key): value[key] for key in value}
    return {str(_first(each)): each for each in value}


def _text(value: Any, currency: str = "") -> str | None:
    """The value as people read it; None for what is not there, and for empty texts and collections."""
    match value:
        case None | "" | ():
            return None
        case bool():
            return str(value).lower()
        case Enum():
            return str(value.value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return f"{value.total_seconds():g} s"
        case tuple():
            return ", ".join(_text(each, currency) or "" for each in value)
        case frozenset():
            return ", ".join(sorted(_text(each) or "" for each in value)) or None
        case _ if _is_open(value):
            texts = (_text(_as_money(name, getattr(value, name), currency), currency) for name in _said(value))
            return " ".join(text for text in texts if text is not None)
        case _:
            return str(value)


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + CUT
