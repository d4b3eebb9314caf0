"""What a broken rule of the contract says to people: protovalidate's own texts speak of numbers and regexes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor

FORMS: Final[Mapping[str, str]] = {
    r"^(\+[1-9][0-9]{6,14})?$": "must be a phone number in international form, such as +49301234567, or empty",
    r"^[0-9]{6}$": "must be six digits",
    r"^(me|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$": "must be `me` or a valid UUID",
    r"^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$": "must be a valid UUID",
    r"^[a-z][a-z0-9_]*$": "must be lower-case letters, digits and underscores, a letter first, such as sandbox",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{2,63}$": (
        "must be 3 to 64 letters, digits, dots, underscores and hyphens, a letter or digit first"
    ),
    r"^([A-Za-z0-9][A-Za-z0-9_.-]{2,63})?$": (
        "must be 3 to 64 letters, digits, dots, underscores and hyphens, a letter or digit first, or empty"
    ),
    r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$": "must be a language tag (BCP 47), such as de or de-AT",
    r"^([A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*)?$": "must be a language tag (BCP 47), such as de or de-AT, or empty",
    r"^[a-z][a-z0-9-]{1,62}$": "must be 2 to 63 lower-case letters, digits and hyphens, a letter first",
    r"^[2-9B-DF-HJKMNP-TV-XZ]{4}-[2-9B-DF-HJKMNP-TV-XZ]{4}$": (
        "must be an order number as the order shows it, such as K7QW-2M9T"
    ),
    r"^[0-9a-f]{64}$": "must be a SHA-256 as 64 lower-case hexadecimal digits",
}
"""Every pattern of the contract in words; a test holds it against the protos."""


_PLAIN: Final[Mapping[str, str]] = {
    "repeated.unique": "must not contain the same item twice",
    "string.uuid_empty": "must be a valid UUID",
    "string.email_empty": "must be a valid email address",
    "string.uri_empty": "must be a valid URI",
}


def words(violation: protovalidate.Violation, message: Descriptor) -> str:
    """What is wrong with the field, and what would be right. `message` is the request's descriptor."""
    rule, value = violation.proto.rule_id, violation.rule_value
    place = _place(violation, message)
    if rule == "required":
        if isinstance(place, OneofDescriptor):
            names = [field.name for field in place.fields]
            return f"{names[0]} must be given" if len(names) == 1 else f"one of {', '.join(names)} must be given"
        return "is required"
    if rule in ("string.min_len", "bytes.min_len") and value == 1:
        return "must not be empty"
    if rule == "string.pattern":
        return FORMS.get(str(value)) or f"must match {value}"
    if rule == "string.prefix":
        return f"must begin with {value}"
    if rule == "map.max_pairs":
        return f"must contain no more than {value} entries"
    if rule == "string.in":
        return f"must be one of {', '.join(value)}"
    if rule == "enum.in" and isinstance(place, FieldDescriptor):
        return one_of(place, lambda number: number in value)
    if rule == "enum.not_in" and isinstance(place, FieldDescriptor):
        return one_of(place, lambda number: number != 0 and number not in value)
    return _PLAIN.get(rule) or violation.proto.message or f"breaks the rule {rule}"


def one_of(field: FieldDescriptor, takes: Callable[[int], bool] = bool) -> str:
    """The values that the enum field takes, by name; all but 0, which stands for none, unless told otherwise."""
    values = field.enum_type.values if field.enum_type is not None else ()
    return f"must be one of {', '.join(each.name for each in values if takes(each.number))}"


def _place(violation: protovalidate.Violation, message: Descriptor) -> FieldDescriptor | OneofDescriptor | None:
    """What the violation is of: a field or a oneof of the message, or of one inside."""
    inside: Descriptor | None = message
    place: FieldDescriptor | OneofDescriptor | None = None
    path = violation.proto.field
    for element in path.elements if path is not None else ():
        if inside is None:
            return None
        name = element.field_name
        place = inside.fields_by_name.get(name) or inside.oneofs_by_name.get(name)
        inside = place.message_type if isinstance(place, FieldDescriptor) else None
        if inside is not None and inside.GetOptions().map_entry:
            inside = inside.fields_by_name["value"].message_type
    return place
