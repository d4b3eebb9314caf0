"""Requests gone wrong, from a seed: bytes that are no message, and messages with one value that nobody should send."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final
from uuid import UUID

from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from marketd.kernel.masks import behaviours

_F: Final = FieldDescriptor
_INTEGERS: Final = {
    _F.TYPE_INT32: (-(2**31), 2**31 - 1),
    _F.TYPE_SINT32: (-(2**31), 2**31 - 1),
    _F.TYPE_UINT32: (0, 2**32 - 1),
    _F.TYPE_INT64: (-(2**63), 2**63 - 1),
    _F.TYPE_SINT64: (-(2**63), 2**63 - 1),
    _F.TYPE_UINT64: (0, 2**64 - 1),
}
_NUMBERS: Final = (float("nan"), float("inf"), float("-inf"), -0.0, 1e308, 5e-324)
_TEXTS: Final = (
    "",
    "nul\0inside",
    "x" * 70_000,
    "'; DROP TABLE accounts; --",
    "../../../../etc/passwd",
    "%s%n{0}${jndi}<script>",
    "\u202e\ufeff\U0001f4a5e\u0301\r\n\t",
)
_FIRST_AND_LAST_SECOND: Final = (-62_135_596_800, 253_402_300_799)
DEEP: Final = 20_000
MANY: Final = 2_000
_MANY_BYTES: Final = 2_000_000  # twice what a request may have; more only costs time

Mutation = tuple[str, bytes]
Change = Callable[[], Any]


def broken(rng: random.Random, raw: bytes) -> Iterator[Mutation]:
    """Bytes that are no message, or another one than was meant."""
    yield "nothing", b""
    for size in (1, 7, 64, 1000):
        yield f"{size} random bytes", rng.randbytes(size)
    for _ in range(4):
        yield "cut short", raw[: rng.randrange(len(raw))] if raw else b"\x0a"
    for _ in range(4):
        changed = bytearray(raw or b"\x0a\x00")
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        yield "a bit flipped", bytes(changed)
    yield "twice", raw + raw
    yield "with a tail", raw + rng.randbytes(20)
    yield "groups without end", b"\x0b" * DEEP
    yield "groups in groups", b"\x0b" * DEEP + b"\x0c" * DEEP
    yield "a length beyond the end", raw + b"\x0a\xff\xff\xff\xff\x0f"
    yield "a number without end", b"\x08" + b"\xff" * 20
    yield "text that is no UTF-8", b"\x0a\x04\xc3\x28\xff\xfe" + raw
    yield "fields that nobody knows", raw + b"\xfa\xff\x07\x05hello"


def odd(rng: random.Random, message: Message) -> Iterator[Mutation]:
    """The message with one field after the other set to what its type allows and its meaning does not.

    Each has a request id of its own, or the second would only meet the first one's answer. How many there are depends
    on the shape of the message alone.
    """
    for where, change in _changes(message):
        yield where, _keyed(rng, message, change()).SerializeToString()


def wild(rng: random.Random, message: Message) -> Mutation:
    """The message with several fields changed at once."""
    names, changed = [], message
    for _ in range(rng.randint(2, 4)):
        changes: list[tuple[str, Change]] = list(_changes(changed)) or [("nothing", partial(_copy, changed))]
        where, change = rng.choice(changes)
        names.append(where)
        changed = change()
    return " and ".join(names), _keyed(rng, message, changed).SerializeToString()


def _keyed(rng: random.Random, message: Any, changed: Any) -> Any:
    if "request_id" in message.DESCRIPTOR.fields_by_name and changed.request_id == message.request_id != "":
        changed.request_id = str(UUID(int=rng.getrandbits(128), version=4))
    return changed


def _changes(message: Any) -> Iterator[tuple[str, Change]]:
    """What can be done to the message, and a function that does it: most are listed only to choose one."""
    for field in message.DESCRIPTOR.fields:
        name, entry = field.name, field.message_type
        # What only the server says is not read, as test_server_owned shows; an id may name what an update changes.
        if field_behavior_pb2.OUTPUT_ONLY in behaviours(field) and not name.endswith("_id"):
            continue
        if entry is not None and entry.GetOptions().map_entry:
            yield f"{name}: many", partial(_with_many_keys, message, name)
            continue
        if message.DESCRIPTOR.fields_by_name[name].is_repeated:
            yield from _list_changes(message, field)
            continue
        if entry is None:
            for value in _values(field):
                yield f"{name} = {value!r:.40}", partial(_with_value, message, name, value)
            continue
        yield f"without {name}", partial(_without, message, name)
        yield f"{name} empty", partial(_with_empty, message, name)
        for where, change in _changes(getattr(message, name)):
            yield f"{name}.{where}", partial(_with_inner, message, name, change)


def _list_changes(message: Any, field: FieldDescriptor) -> Iterator[tuple[str, Change]]:
    name = field.name
    present = list(getattr(message, name))
    yield f"no {name}", partial(_without, message, name)
    if field.message_type is not None:
        element = present[0] if present else GetMessageClass(field.message_type)()
        yield f"many {name}", lambda: _with(message, name, _many(element))
        for where, change in _changes(element):
            yield f"{name}[0].{where}", partial(_with_first, message, name, change, present[1:])
        return
    for value in _values(field):
        yield f"{name}[0] = {value!r:.40}", partial(_with, message, name, [value, *present[1:]])
    yield (
        f"many {name}",
        lambda: _with(message, name, _many(present[0] if present else next(iter(_values(field))))),
    )


def _many(element: Any) -> list[Any]:
    size = element.ByteSize() if isinstance(element, Message) else len(element) if isinstance(element, str) else 1
    return [element] * max(2, min(MANY, _MANY_BYTES // max(1, size)))


def _values(field: FieldDescriptor) -> tuple[Any, ...]:
    if field.enum_type is not None:
        return (0, -1, 9_999)
    if field.full_name == "google.protobuf.Timestamp.seconds":
        return (*_INTEGERS[field.type], 0, *_FIRST_AND_LAST_SECOND)
    if field.type in _INTEGERS:
        return (*_INTEGERS[field.type], 0)
    match field.type:
        case _F.TYPE_STRING:
            return _TEXTS
        case _F.TYPE_BYTES:
            return (b"", b"\0", b"\xff" * 1000)
        case _F.TYPE_BOOL:
            return (False, True)
        case _:
            return _NUMBERS


def _copy(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _without(message: Any, name: str) -> Any:
    copy = _copy(message)
    copy.ClearField(name)
    return copy


def _with_empty(message: Any, name: str) -> Any:
    copy = _without(message, name)
    getattr(copy, name).SetInParent()
    return copy


def _with_value(message: Any, name: str, value: Any) -> Any:
    copy = _copy(message)
    setattr(copy, name, value)
    return copy


def _with_inner(message: Any, name: str, change: Change) -> Any:
    copy = _copy(message)
    getattr(copy, name).CopyFrom(change())
    return copy


def _with_many_keys(message: Any, name: str) -> Any:
    copy = _copy(message)
    for number in range(MANY):
        getattr(copy, name)[f"key {number}"] = "value"
    return copy


def _with_first(message: Any, name: str, change: Change, rest: list[Any]) -> Any:
    return _with(message, name, [change(), *rest])


def _with(message: Any, name: str, values: list[Any]) -> Any:
    copy = _without(message, name)
    getattr(copy, name).extend(values)
    return copy
