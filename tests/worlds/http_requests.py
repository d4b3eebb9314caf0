"""A request of the contract with every field set, and the HTTP request that says the same by a binding."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from marketd.transport.descriptors import json_name

from tests.worlds.bindings import Binding

TEXT: Final = "a b/\N{LATIN SMALL LETTER U WITH DIAERESIS}&=+%?#"
IN_PATH: Final = TEXT.replace("/", "")
LONG: Final = 2**53 + 1
"""More than a number of JavaScript can hold."""
_DEPTH: Final = 4
_KNOWN: Final[dict[str, str]] = {
    Timestamp.DESCRIPTOR.full_name: "2026-01-02T03:04:05.678Z",
    Duration.DESCRIPTOR.full_name: "61.500s",
    FieldMask.DESCRIPTOR.full_name: "title,address.postalCode",
}


@dataclass(frozen=True)
class HttpRequest:
    """What curl would send."""

    verb: str
    path: str
    body: Any


def filled(message: Any, choice: int = 0, depth: int = 0) -> Any:
    """The message with a value in every field; of alternatives the one with this number, counted around."""
    if message.DESCRIPTOR.full_name in _KNOWN:
        message.FromJsonString(_KNOWN[message.DESCRIPTOR.full_name])
        return message
    for field in message.DESCRIPTOR.fields:
        others = field.containing_oneof.fields if field.containing_oneof is not None else [field]
        if others[choice % len(others)].name == field.name:
            _fill(message, field, choice, depth)
    return message


def _fill(message: Any, field: Any, choice: int, depth: int) -> None:
    content = getattr(message, field.name)
    if field.message_type is None:
        if field.is_repeated:
            content.extend([_value(field)] * 2)
        else:
            setattr(message, field.name, _value(field))
    elif field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        if value.message_type is None:
            content["a key"] = _value(value)
        else:
            filled(content["a key"], choice, depth + 1)
    elif depth < _DEPTH:
        if not field.is_repeated:
            content.SetInParent()
        filled(content.add() if field.is_repeated else content, choice, depth + 1)


def _value(field: Any) -> Any:
    kind = field.cpp_type
    if kind == field.CPPTYPE_STRING:
        return b"\0\xff\xfe+/" if field.type == field.TYPE_BYTES else TEXT
    if kind == field.CPPTYPE_ENUM:
        return field.enum_type.values[-1].number
    if kind == field.CPPTYPE_BOOL:
        return True
    if kind in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
        return 52.5
    return LONG if kind in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64) else 7


def variants(binding: Binding) -> Iterator[Any]:
    """Requests of the method that between them use every field, alternatives included, each with its path's fields."""
    request = binding.rule.request
    for choice in range(max((len(one.fields) for one in request.DESCRIPTOR.oneofs), default=1)):
        message: Any = filled(request(), choice)
        for path in binding.variables:
            *outer, last = path.split(".")
            inner = message
            for step in outer:
                inner = getattr(inner, step)
            setattr(inner, last, IN_PATH)
        yield message


def http_request(binding: Binding, message: Message) -> HttpRequest:
    """The message as this binding takes it: the path, the body, and all else in the query."""
    said: dict[str, Any] = MessageToDict(message)
    path = binding.path
    for variable in binding.variables:
        path = path.replace(f"{{{variable}}}", urllib.parse.quote(_taken(said, variable), safe=""))
    if binding.body == "*":
        return HttpRequest(binding.verb, path, said)
    body = said.pop(json_name(binding.body), {}) if binding.body else None
    query = urllib.parse.urlencode(list(_flat(said)))
    return HttpRequest(binding.verb, f"{path}?{query}" if query else path, body)


def _taken(said: dict[str, Any], path: str) -> str:
    *outer, last = path.split(".")
    for step in outer:
        said = said[json_name(step)]
    return str(said.pop(json_name(last)))


def _flat(said: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in said.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from _flat(each, f"{prefix}{name}.")
            else:
                yield prefix + name, json.dumps(each) if isinstance(each, bool) else str(each)
