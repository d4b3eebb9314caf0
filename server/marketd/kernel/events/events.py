"""Events and jobs as slices declare them: frozen dataclasses with a versioned JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar, TypeAlias, TypeVar, get_type_hints
from uuid import UUID

import orjson

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact that was committed. Subclasses are frozen dataclasses in a slice's `events.py`.

    Fields may be UUID, str, int, bool, datetime, timedelta (in JSON its seconds), StrEnum, None, and tuples of these or
    of frozen dataclasses. A change that old readers would misread gets a new `version`.
    """

    event_type: ClassVar[str]
    aggregate: ClassVar[str]
    version: ClassVar[int] = 1

    @property
    def aggregate_id(self) -> UUID:
        """The aggregate whose sequence the event takes its number from: by convention the field `<aggregate>_id`."""
        value = getattr(self, f"{self.aggregate}_id")
        if not isinstance(value, UUID):
            raise TypeError(f"{type(self).__name__}.{self.aggregate}_id must be a UUID")
        return value


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as the outbox holds it; `seq` counts from 1 without gaps within its aggregate."""

    event_id: UUID
    event_type: str
    version: int
    aggregate: str
    aggregate_id: UUID
    seq: int
    payload: Mapping[str, Json]
    occurred_time: datetime


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work for later, done by a worker at or after `run_time` (None: now), at least once.

    With `dedup_key`, a second job of the same key is dropped while the first waits. Payload values are JSON.
    """

    kind: str
    payload: Mapping[str, Json]
    run_time: datetime | None = None
    dedup_key: str | None = None
    max_attempts: int = 20


def _form(value: object) -> Json | Mapping[str, object] | list[object]:
    """What stands in JSON for a value that the encoder does not know; what is inside of it is looked at again."""
    if isinstance(value, UUID | Decimal):  # the driver's ids are of a class of their own
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, frozenset):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):  # a subclass without fields of its own
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form in an event")


def to_json(value: object) -> str:
    """The JSON text of an event, a payload or a plain value: a dataclass is an object of its fields, an enum its value,
    a time ISO 8601. The keys of mappings are texts.
    """
    return orjson.dumps(value, default=_form).decode()


E_ = TypeVar("E_", bound=Event)


def read_event(kind: type[E_], stored: StoredEvent) -> E_:
    """The typed event back from its stored form. Unknown keys of newer versions are ignored.

    Covers scalar fields (UUID, datetime, timedelta, enums, str, int, bool and optionals of them); nested values stay
    JSON.
    """
    hints = get_type_hints(kind)
    values: dict[str, object] = {}
    for field in fields(kind):
        if field.name not in stored.payload:
            continue
        value, hint = stored.payload[field.name], str(hints[field.name])
        if isinstance(value, str) and "UUID" in hint:
            values[field.name] = UUID(value)
        elif isinstance(value, str) and "datetime" in hint:
            values[field.name] = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and "timedelta" in hint:
            values[field.name] = timedelta(seconds=value)
        elif isinstance(value, list):
            values[field.name] = tuple(value)
        else:
            values[field.name] = value
    return kind(**values)
