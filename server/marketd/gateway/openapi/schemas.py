"""The messages of the contract as JSON Schema under `#/components/schemas`.

What requests carry and what answers carry differ: a request requires what field_behavior requires and has nothing of
the server's own; an answer has whatever is always printed. So a message of both stands there twice, `Seller` as it is
answered and `SellerInput` as it is sent, and one that an update carries once more: `SellerPatch` requires nothing,
since a PATCH has what changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from itertools import combinations
from typing import Any

from buf.validate import validate_pb2
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from marketd.gateway.openapi import rules, values
from marketd.kernel.masks import behaviours

Schema = dict[str, Any]

REQUEST_ID = "request_id"
_COMPONENTS = "#/components/schemas/"
_OURS = "marketplace."
_OF_REQUEST_ID = "The id of this request, as the header `Idempotency-Key` has it; give one of the two."


class Way(StrEnum):
    """Which way a message goes; the value ends the name of its schema where it goes several."""

    ANSWER = ""
    INPUT = "Input"
    PATCH = "Patch"


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
        return self._message(message, Way.ANSWER)

    def resource(self, message: Descriptor) -> Schema:
        """The body that is one field of a request."""
        return self._message(message, Way.INPUT)

    def patch(self, message: Descriptor) -> Schema:
        """The body of an update: the resource with what changes."""
        return self._message(message, Way.PATCH)

    def body(self, message: Descriptor, without: Collection[str]) -> Schema:
        """The body that is a whole request, without the fields that stand in its path."""
        return self._made_once(message, Way.INPUT, without)

    def is_needed(self, message: Descriptor, without: Collection[str]) -> bool:
        """Whether a body that is a whole request must have anything."""
        return any(is_required(field) and field.name not in {*without, REQUEST_ID} for field in message.fields)

    def field(self, field: FieldDescriptor, way: Way) -> Schema:
        """The schema of a field, with its words and whose it is."""
        schema = self._of_field(field, way)
        said = [self.words(field), *rules.in_words(rules.rules_of(field))]
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

    def _message(self, message: Descriptor, way: Way) -> Schema:
        known = values.WELL_KNOWN.get(message.full_name)
        return dict(known) if known is not None else self._made_once(message, way, ())

    def _made_once(self, message: Descriptor, way: Way, without: Collection[str]) -> Schema:
        end = self._end(message, way)
        name = self._claim(f"{message.name}{end}", f"{message.full_name}{end}")
        if name not in self._made:
            self._made[name] = {}  # for messages that carry themselves
            self._made[name] = self._object(message, way, without)
        return {"$ref": f"{_COMPONENTS}{name}"}

    def _end(self, message: Descriptor, way: Way) -> str:
        if not message.full_name.startswith(_OURS):
            return ""
        goes_both = message.full_name in self._asks and message.full_name in self._answers
        return way.value if goes_both or way is Way.PATCH else ""

    def _object(self, message: Descriptor, way: Way, without: Collection[str]) -> Schema:
        others = field_behavior_pb2.INPUT_ONLY if way is Way.ANSWER else field_behavior_pb2.OUTPUT_ONLY
        fields = [field for field in message.fields if field.name not in without and others not in behaviours(field)]
        schema: Schema = {"type": "object"}
        said = [self.words(message), *(rules.sentence(each.message) for each in _expressions(message))]
        if way is Way.PATCH and message.full_name.startswith(_OURS):
            said.append("Only what changes need be here.")
        if text := " ".join(each for each in said if each):
            schema["description"] = text
        if not fields:
            return schema
        choices = _choices(message, without) if way is Way.INPUT else []
        required = [field.json_name for field in fields if _must_be(field, way)]
        required += [choice[0] for choice in choices if len(choice) == 1]
        if required:
            schema["required"] = required
        schema["properties"] = {field.json_name: self.field(field, way) for field in fields}
        schema.update(_all_of(_limits(choices, [] if way is Way.ANSWER else _either(message, choices))))
        return schema

    def _of_field(self, field: FieldDescriptor, way: Way) -> Schema:
        own = rules.rules_of(field)
        # What stands in a list is given whole, also in an update.
        inner = Way.INPUT if way is Way.PATCH else way
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            entry = field.message_type.fields_by_name
            names = _without_type(self._single(entry["key"], own.map.keys, inner))
            return {
                "type": "object",
                "additionalProperties": self._single(entry["value"], own.map.values, inner),
                **({"propertyNames": names} if names else {}),
                **rules.told(own),
            }
        must_be = way is Way.INPUT and is_required(field)
        if field.is_repeated:
            least = {"minItems": 1} if must_be else {}
            return {
                "type": "array",
                "items": self._single(field, own.repeated.items, inner),
                **least,
                **rules.told(own),
            }
        schema = self._single(field, own, way)
        return self._given(field, schema) if must_be and not field.has_presence else schema

    def _given(self, field: FieldDescriptor, schema: Schema) -> Schema:
        """The schema without the value that counts as none, for a field that must be there."""
        if field.enum_type is not None:
            return {**schema, "not": {"enum": [field.enum_type.values[0].name]}}
        if schema.get("type") == "string" and not {"format", "pattern", "enum"} & schema.keys():
            return {"minLength": 1, **schema}
        if schema.get("type") == "integer" and schema.get("minimum") == 0:
            return {**schema, "minimum": 1}
        return schema

    def _single(self, field: FieldDescriptor, own: validate_pb2.FieldRules, way: Way) -> Schema:
        if field.enum_type is not None:
            return self._enum(field.enum_type, rules.refused_enum_numbers(own))
        if field.message_type is not None:
            return self._message(field.message_type, way)
        plain = dict(values.SCALARS[field.type])
        schema = {**plain, **rules.told(own)}
        # An update clears with the empty text; an answer prints it.
        may_be_empty = way is not Way.INPUT and not field.is_repeated and _ignores_zero(own)
        return rules.or_zero(schema) if may_be_empty and schema != plain else schema

    def _enum(self, enum: EnumDescriptor, refused: Collection[int]) -> Schema:
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
            names = [value.name for value in enum.values if value.number in refused]
            return {"$ref": f"{_COMPONENTS}{name}", "not": {"enum": names}}
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


def _either(message: Descriptor, choices: list[list[str]]) -> list[list[str]]:
    """The names of the fields of each further oneof: one of them may be given."""
    oneofs = [[field.json_name for field in oneof.fields] for oneof in message.oneofs]
    return [names for names in oneofs if len(names) > 1 and names not in choices]


def _limits(choices: list[list[str]], either: list[list[str]]) -> list[Schema]:
    """What says that just one of some fields is given, or at most one."""
    found: list[Schema] = [{"oneOf": [{"required": [name]} for name in names]} for names in choices if len(names) > 1]
    for names in either:
        pairs = [{"required": list(pair)} for pair in combinations(names, 2)]
        found.append({"not": pairs[0] if len(pairs) == 1 else {"anyOf": pairs}})
    return found


def _all_of(schemas: list[Schema]) -> Schema:
    if len(schemas) < 2:
        return schemas[0] if schemas else {}
    return {"allOf": schemas}


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


def _must_be(field: FieldDescriptor, way: Way) -> bool:
    """Whether a message that goes this way always has the field."""
    message = field.containing_type
    if message is None or not message.full_name.startswith(_OURS):
        return field.full_name in values.ALWAYS_THERE
    if way is Way.PATCH:
        return False
    if way is Way.INPUT:
        return is_required(field) and field.name != REQUEST_ID
    return not field.has_presence


def _ignores_zero(own: validate_pb2.FieldRules) -> bool:
    return own.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE
