"""The messages of the contract as JSON Schema, each once under `#/components/schemas`.

A message that requests carry requires what field_behavior requires; one that only answers carry requires what is always
printed. One that an update carries exists once more as `…Patch`, which requires nothing: a PATCH has what changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from buf.validate import validate_pb2
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from marketd.gateway.openapi import rules, values
from marketd.kernel.masks import behaviours, is_ours

Schema = dict[str, Any]

REQUEST_ID = "request_id"
_COMPONENTS = "#/components/schemas/"
_PATCH = "Patch"
_OF_REQUEST_ID = "The id of this request, as the header `Idempotency-Key` has it; give one of the two."


class NamesClash(Exception):
    """Two messages or enums of the contract have one name, so their schemas would."""


class Schemas:
    """The components as they are asked for."""

    def __init__(self, comments: Mapping[str, str], asks: Iterable[Descriptor], answers: Iterable[Descriptor]) -> None:
        """asks, answers: the messages of all requests, and of all answers."""
        self._comments = comments
        self._asks = _reached(asks)
        self._answers = _reached(answers)
        self._made: dict[str, Schema] = {}
        self._names: dict[str, str] = {}

    @property
    def components(self) -> dict[str, Schema]:
        """Everything that was asked for, by name."""
        return {name: self._made[name] for name in sorted(self._made)}

    def add(self, schemas: Mapping[str, Schema]) -> None:
        """Put components beside those of the contract."""
        for name in schemas:
            self._claim(name, f"openapi.{name}")
        self._made.update(schemas)

    def answer(self, message: Descriptor) -> Schema:
        """What a call answers."""
        return self._message(message)

    def body(self, message: Descriptor, without: Collection[str]) -> Schema:
        """The body that is a whole request, without the fields that stand in its path."""
        name = self._claim(message.name, message.full_name)
        if name not in self._made:
            self._made[name] = {}
            self._made[name] = self._object(message, without=without)
        return {"$ref": f"{_COMPONENTS}{name}"}

    def is_needed(self, message: Descriptor, without: Collection[str]) -> bool:
        """Whether a body that is a whole request must have anything."""
        return any(is_required(field) and field.name not in {*without, REQUEST_ID} for field in message.fields)

    def patch(self, message: Descriptor) -> Schema:
        """The body of an update: the resource with what changes."""
        return self._patch(message)

    def field(self, field: FieldDescriptor, *, patched: bool = False) -> Schema:
        """The schema of a field, with its words and whose it is."""
        schema = self._of_field(field, patched=patched)
        said = [self.words(field)]
        said += rules.in_words(rules.rules_of(field))
        if field.containing_oneof is not None and len(field.containing_oneof.fields) > 1:
            others = [f"`{each.json_name}`" for each in field.containing_oneof.fields if each is not field]
            said.append(f"Not together with {', '.join(others)}.")
        text = " ".join(each for each in said if each)
        if text:
            schema = {**schema, "description": text}
        found = behaviours(field)
        if field_behavior_pb2.OUTPUT_ONLY in found:
            schema["readOnly"] = True
        if field_behavior_pb2.INPUT_ONLY in found:
            schema["writeOnly"] = True
        if field.GetOptions().deprecated:
            schema["deprecated"] = True
        return schema

    def words(self, element: Any) -> str:
        """The comment of a field, message or enum."""
        if isinstance(element, FieldDescriptor) and element.containing_type is not None:
            known = values.DESCRIBED.get(element.containing_type.full_name)
            if known is not None:
                return known[element.name]
            if element.name == REQUEST_ID:
                return _OF_REQUEST_ID
        elif element.full_name in values.DESCRIBED:
            return values.DESCRIBED[element.full_name][""]
        return self._comments.get(element.full_name, "")

    def _claim(self, name: str, full_name: str) -> str:
        if self._names.setdefault(name, full_name) != full_name:
            raise NamesClash(f"{full_name} and {self._names[name]}")
        return name

    def _message(self, message: Descriptor) -> Schema:
        known = values.WELL_KNOWN.get(message.full_name)
        if known is not None:
            return dict(known)
        return self.body(message, ())

    def _patch(self, message: Descriptor) -> Schema:
        if not _requires(message, set()):
            return self._message(message)
        name = self._claim(f"{message.name}{_PATCH}", f"{message.full_name}{_PATCH}")
        if name not in self._made:
            self._made[name] = {}
            self._made[name] = self._object(message, patched=True)
        return {"$ref": f"{_COMPONENTS}{name}"}

    def _object(self, message: Descriptor, *, without: Collection[str] = (), patched: bool = False) -> Schema:
        fields = [field for field in message.fields if field.name not in without]
        schema: Schema = {"type": "object"}
        said = [self.words(message), *(rules.sentence(each.message) for each in _expressions(message))]
        if text := " ".join(each for each in said if each):
            schema["description"] = text
        if patched:
            schema["description"] = f"{schema.get('description', '')} Only what changes need be here.".strip()
        if not fields:
            return schema
        required = [] if patched else [field.json_name for field in fields if self._must_be(field)]
        choices = [] if patched else _choices(message, without)
        required += [choice[0] for choice in choices if len(choice) == 1]
        if required:
            schema["required"] = required
        schema["properties"] = {field.json_name: self.field(field, patched=patched) for field in fields}
        ways = [[{"required": [name]} for name in choice] for choice in choices if len(choice) > 1]
        if len(ways) == 1:
            schema["oneOf"] = ways[0]
        elif ways:
            schema["allOf"] = [{"oneOf": each} for each in ways]
        return schema

    def _must_be(self, field: FieldDescriptor) -> bool:
        if field.containing_type.full_name in self._asks:
            return is_required(field) and field.name != REQUEST_ID
        return not field.has_presence and field_behavior_pb2.INPUT_ONLY not in behaviours(field)

    def _of_field(self, field: FieldDescriptor, *, patched: bool) -> Schema:
        own = rules.rules_of(field)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            entry = field.message_type.fields_by_name
            names = _without_type(self._single(entry["key"], own.map.keys))
            return {
                "type": "object",
                "additionalProperties": self._single(entry["value"], own.map.values),
                **({"propertyNames": names} if names else {}),
                **rules.told(own),
            }
        if field.is_repeated:
            return {"type": "array", "items": self._single(field, own.repeated.items), **rules.told(own)}
        if patched and is_ours(field) and field.message_type is not None:
            return self._patch(field.message_type)
        return self._single(field, own)

    def _single(self, field: FieldDescriptor, own: validate_pb2.FieldRules) -> Schema:
        if field.enum_type is not None:
            return self._enum(field.enum_type, rules.refused_enum_numbers(own))
        if field.message_type is not None:
            return self._message(field.message_type)
        plain = dict(values.SCALARS[field.type])
        schema = {**plain, **rules.told(own)}
        if not field.is_repeated and schema != plain and self._prints_zero(field, own):
            return rules.or_zero(schema)
        return schema

    def _prints_zero(self, field: FieldDescriptor, own: validate_pb2.FieldRules) -> bool:
        """Whether an answer may have the field with no value in it, whatever its form is otherwise."""
        ignored = own.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE
        if field.containing_type.GetOptions().map_entry:
            return False
        optional = not field.has_presence and (ignored or not is_required(field))
        return optional and field.containing_type.full_name in self._answers

    def _enum(self, enum: EnumDescriptor, refused: Collection[int]) -> Schema:
        if enum.full_name == "google.protobuf.NullValue":
            return {"type": "null"}
        name = self._claim(enum.name, enum.full_name)
        if name not in self._made:
            package = enum.full_name.rpartition(".")[0]
            lines = [
                f"- `{value.name}`: {comment}"
                for value in enum.values
                if (comment := self._comments.get(f"{package}.{value.name}", ""))
            ]
            self._made[name] = {
                "type": "string",
                "description": "\n".join([self._comments.get(enum.full_name, ""), "", *lines]).strip(),
                "enum": [value.name for value in enum.values],
            }
        if refused:
            return {"type": "string", "enum": [value.name for value in enum.values if value.number not in refused]}
        return {"$ref": f"{_COMPONENTS}{name}"}


def is_required(field: FieldDescriptor) -> bool:
    """Whether field_behavior requires the field."""
    return field_behavior_pb2.REQUIRED in behaviours(field)


def _choices(message: Descriptor, without: Collection[str]) -> list[list[str]]:
    """For each oneof of which one field must be given, the names of its fields."""
    return [
        [field.json_name for field in oneof.fields]
        for oneof in message.oneofs
        if oneof.GetOptions().Extensions[validate_pb2.oneof].required
        and not any(field.name in without for field in oneof.fields)
    ]


def _without_type(schema: Schema) -> Schema:
    return {name: schema[name] for name in schema if name != "type"}


def _expressions(message: Descriptor) -> Any:
    return message.GetOptions().Extensions[validate_pb2.message].cel


def _reached(messages: Iterable[Descriptor]) -> frozenset[str]:
    """The full names of these messages and of all that they carry."""
    found: set[str] = set()
    waiting = list(messages)
    while waiting:
        message = waiting.pop()
        if message.full_name not in found:
            found.add(message.full_name)
            waiting += [field.message_type for field in message.fields if field.message_type is not None]
    return frozenset(found)


def _requires(message: Descriptor, seen: set[str]) -> bool:
    """Whether the message, or one in it, requires a field."""
    if message.full_name in seen or message.full_name in values.WELL_KNOWN:
        return False
    seen.add(message.full_name)
    return any(
        is_required(field) or (is_ours(field) and _requires(field.message_type, seen))  # type: ignore[arg-type]
        for field in message.fields
    )
