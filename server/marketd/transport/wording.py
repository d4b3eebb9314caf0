"""What a broken rule of the contract says to people: protovalidate's own texts speak of numbers and regexes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import protovalidate
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

FORMS: Final[Mapping[str, str]] = {
    r"^[a-z0-9]+(-[a-z0-9]+)*$": "must be lower-case letters and digits in words with single hyphens between them",
    r"^\+[1-9][0-9]{6,14}$": "must be a phone number in international form, such as +49301234567",
    r"^[0-9]{6}$": "must be six digits",
    r"^(me|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$": "must be `me` or a valid UUID",
    r"^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$": "must be a valid UUID",
    r"^[a-z][a-z0-9_]*$": "must be lower-case letters, digits and underscores, a letter first, such as sandbox",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{2,63}$": (
        "must be 3 to 64 letters, digits, dots, underscores and hyphens, a letter or digit first"
    ),
    r"^[a-z][a-z0-9-]{1,62}$": "must be 2 to 63 lower-case letters, digits and hyphens, a letter first",
    r"^[A-Z]{2}$": "must be two capital letters, such as DE",
    r"^[0-9a-f]{64}$": "must be a SHA-256 as 64 lower-case hexadecimal digits",
}
"""Every pattern of the contract in words; a test holds it against the protos."""


def words(violation: protovalidate.Violation, message: Descriptor) -> str:
    """What is wrong with the field, and what would be right. `message` is the request's descriptor."""
    rule, value = violation.proto.rule_id, violation.rule_value
    if rule == "required":
        return "is required"
    if rule == "string.min_len" and value == 1:
        return "must not be empty"
    if rule == "string.pattern":
        return FORMS.get(str(value)) or f"must match {value}"
    if rule == "repeated.unique":
        return "must not contain the same item twice"
    if rule.startswith("enum."):
        enum = _enum_at(violation, message)
        if enum is not None:
            return f"must be one of {', '.join(_allowed(enum, rule, value))}"
    return violation.proto.message or f"breaks the rule {rule}"


def _allowed(enum: EnumDescriptor, rule: str, value: Any) -> list[str]:
    numbers = {each.number for each in enum.values} - {0}
    if rule == "enum.in":
        numbers &= set(value)
    elif rule == "enum.not_in":
        numbers -= set(value)
    return [each.name for each in enum.values if each.number in numbers]


def _enum_at(violation: protovalidate.Violation, message: Descriptor) -> EnumDescriptor | None:
    field: FieldDescriptor | None = None
    path = violation.proto.field
    for element in path.elements if path is not None else ():
        inside = message if field is None else field.message_type
        field = None if inside is None else inside.fields_by_number.get(element.field_number)
        if field is None:
            return None
    return None if field is None else field.enum_type
