"""The rules of `buf.validate` as JSON Schema says them. What it cannot say stands in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

Schema = dict[str, Any]

_MATCHES = re.compile(r"^!rule \|\| this\.matches\('(?P<pattern>[^']+)'\)$")
_UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_IGNORED = frozenset({"ignore", "cel", "cel_expression", "required"})


class RuleUntold(Exception):
    """The contract uses a rule of which this room knows no JSON Schema."""


def _keyword(name: str) -> Callable[[Any], Schema]:
    return lambda value: {name: value}


_STRING: Final[Mapping[str, Callable[[Any], Schema]]] = {
    "min_len": _keyword("minLength"),
    "max_len": _keyword("maxLength"),
    "len": lambda value: {"minLength": value, "maxLength": value},
    "pattern": _keyword("pattern"),
    "prefix": lambda value: {"pattern": f"^{re.escape(value)}"},
    "const": _keyword("const"),
    "in": lambda values: {"enum": list(values)},
    "not_in": lambda values: {"not": {"enum": list(values)}},
    "uuid": lambda value: {"format": "uuid"} if value else {},
    "email": lambda value: {"format": "email"} if value else {},
    "uri": lambda value: {"format": "uri"} if value else {},
}
_NUMBER: Final[Mapping[str, Callable[[Any], Schema]]] = {
    "gt": _keyword("exclusiveMinimum"),
    "gte": _keyword("minimum"),
    "lt": _keyword("exclusiveMaximum"),
    "lte": _keyword("maximum"),
    "const": _keyword("const"),
    "in": lambda values: {"enum": list(values)},
    "not_in": lambda values: {"not": {"enum": list(values)}},
    "finite": lambda _: {},  # JSON has no other numbers
}
_REPEATED: Final[Mapping[str, Callable[[Any], Schema]]] = {
    "min_items": _keyword("minItems"),
    "max_items": _keyword("maxItems"),
    "unique": lambda value: {"uniqueItems": True} if value else {},
}
_MAP: Final[Mapping[str, Callable[[Any], Schema]]] = {
    "min_pairs": _keyword("minProperties"),
    "max_pairs": _keyword("maxProperties"),
}
_BOUNDS: Final[Mapping[str, str]] = {"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most"}


def rules_of(field: FieldDescriptor) -> validate_pb2.FieldRules:
    """The field's rules, empty where it has none."""
    rules: validate_pb2.FieldRules = field.GetOptions().Extensions[validate_pb2.field]
    return rules


def told(rules: validate_pb2.FieldRules) -> Schema:
    """The keywords for a single value, an array as a whole or a map as a whole. Raises RuleUntold."""
    schema: Schema = {}
    for name, value in _kind(rules):
        if name == "string":
            _add(schema, _written(value, _STRING))
        elif name in ("int32", "uint32", "sint32", "fixed32", "sfixed32", "float", "double"):
            _add(schema, _written(value, _NUMBER))
        elif name == "bytes":
            _add(schema, _of_bytes(value))
        elif name == "repeated":
            _add(schema, _written(value, _REPEATED, but=("items",)))
        elif name == "map":
            _add(schema, _written(value, _MAP, but=("keys", "values")))
        elif name not in ("enum", "bool", "duration", "timestamp", "int64", "uint64"):
            raise RuleUntold(name)
    return schema


def in_words(rules: validate_pb2.FieldRules) -> list[str]:
    """What keywords cannot say: bounds of what travels as text, and rules written as expressions."""
    found = [sentence(each.message) for each in rules.cel if each.message]
    for name, value in _kind(rules):
        if name in ("int64", "uint64", "duration"):
            bounds = [f"{_BOUNDS[bound.name]} {_number(limit)}" for bound, limit in value.ListFields()]
            found.append(f"It must be {' and '.join(bounds)}.")
    return found


def sentence(message: str) -> str:
    """The message of a rule as a sentence of its own."""
    return f"It {message}." if message.startswith("must ") else f"{message[0].upper()}{message[1:]}."


def refused_enum_numbers(rules: validate_pb2.FieldRules) -> frozenset[int]:
    """The enum numbers that the field does not take."""
    return frozenset(rules.enum.not_in)


def or_zero(schema: Schema) -> Schema:
    """The schema with the empty text, or 0, let in: a field without presence has it when there is no value."""
    loose = {name: schema[name] for name in schema if name not in ("minLength", "exclusiveMinimum")}
    if loose.get("minimum", 0) > 0:
        loose["minimum"] = 0
    if loose.get("format") == "uuid":
        loose["pattern"] = _UUID
    if loose["type"] == "string":
        loose.pop("format", None)
    if "pattern" in loose and not re.search(loose["pattern"], ""):
        loose["pattern"] = f"^$|{loose['pattern']}"
    if "enum" in loose:
        loose["enum"] = ["", *loose["enum"]]
    return loose


def _kind(rules: validate_pb2.FieldRules) -> Iterator[tuple[str, Any]]:
    for field, value in rules.ListFields():
        if field.name not in _IGNORED:
            yield field.name, value


def _written(rules: Message, known: Mapping[str, Callable[[Any], Schema]], but: tuple[str, ...] = ()) -> Schema:
    schema: Schema = {}
    for field, value in rules.ListFields():
        if field.is_extension:
            _add(schema, _predefined(field))
        elif field.name in known:
            _add(schema, known[field.name](value))
        elif field.name not in but:
            raise RuleUntold(f"{rules.DESCRIPTOR.name}.{field.name}")
    return schema


def _predefined(rule: FieldDescriptor) -> Schema:
    """A rule of the contract's own, whose expression is a pattern."""
    for each in rule.GetOptions().Extensions[validate_pb2.predefined].cel:
        if found := _MATCHES.match(each.expression):
            return {"pattern": found["pattern"]}
    raise RuleUntold(rule.full_name)


def _of_bytes(rules: validate_pb2.BytesRules) -> Schema:
    """Bytes travel as base64: four characters for three bytes."""
    schema: Schema = {}
    for field, value in rules.ListFields():
        if field.name == "max_len":
            schema["maxLength"] = (value + 2) // 3 * 4
        elif field.name == "min_len":
            schema["minLength"] = (value + 2) // 3 * 4
        else:
            raise RuleUntold(f"BytesRules.{field.name}")
    return schema


def _add(schema: Schema, more: Schema) -> None:
    """Put keywords together; of two patterns both must hold."""
    if "pattern" in schema and "pattern" in more:
        more = {"allOf": [more]}
    schema.update(more)


def _number(limit: Any) -> str:
    if isinstance(limit, Message):
        return f"{limit.seconds} s"  # type: ignore[attr-defined]  # a Duration
    return str(limit)
