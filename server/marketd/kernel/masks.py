"""Which fields an update changes: what field_behavior lets change, what the mask names, and what the resource has.

AIP-134: without a mask every settable field that has a value changes, `*` is all of them, and a path may lead into a
message of ours (`postal_address.city`). What the server owns is never changed; naming it is transport's to refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, Final, TypeVar

from google.api import field_behavior_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

V = TypeVar("V", bound=Any)  # a dataclass

EVERYTHING: Final = "*"
_PACKAGE = "marketplace."
# Input only is what is given at the start and shown nowhere.
_FIXED = frozenset({field_behavior_pb2.OUTPUT_ONLY, field_behavior_pb2.IMMUTABLE, field_behavior_pb2.INPUT_ONLY})


def behaviours(field: Any) -> frozenset[int]:
    """The google.api.FieldBehavior values of a field."""
    return frozenset(field.GetOptions().Extensions[field_behavior_pb2.field_behavior])


def is_ours(field: Any) -> bool:
    """Whether the field is one message of the contract's own, into which a path may lead."""
    message = field.message_type
    return message is not None and not field.is_repeated and message.full_name.startswith(_PACKAGE)


@cache
def settable(resource: Any) -> tuple[str, ...]:
    """The fields of a resource that an update may change, in their order; its etag is judged, not changed."""
    return tuple(field.name for field in resource.fields if field.name != "etag" and not behaviours(field) & _FIXED)


def has_value(message: Message, field: Any) -> bool:
    """Whether the field is set: present where presence is known, else more than empty, 0 or false."""
    if field.is_repeated or not field.has_presence:
        return bool(getattr(message, field.name))
    return message.HasField(field.name)


def update_paths(resource: Message, mask: FieldMask) -> frozenset[str]:
    """The paths to change, of fields or (only when the mask names them) of fields inside."""
    names = settable(resource.DESCRIPTOR)
    if not mask.paths:
        by_name = resource.DESCRIPTOR.fields_by_name
        return frozenset(name for name in names if has_value(resource, by_name[name]))
    if EVERYTHING in mask.paths:
        return frozenset(names)
    return frozenset(mask.paths)


def has_path(paths: frozenset[str], name: str) -> bool:
    """Whether the field, or something inside it, is to be changed."""
    return name in paths or any(path.startswith(f"{name}.") for path in paths)


def patch(new: V, paths: frozenset[str], name: str) -> Callable[[V], V]:
    """What makes the value of field `name` the new one: the whole of it, or what the paths name inside.

    new: a dataclass whose fields have the names of the message's.
    """
    if name in paths:
        return lambda _: new
    parts = {path.removeprefix(f"{name}.") for path in paths if path.startswith(f"{name}.")}
    return lambda current: replace(current, **{part: getattr(new, part) for part in parts})
