"""A single value as JSON has it: numbers, texts, and the types that protobuf writes in a form of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor as Field

Schema = dict[str, Any]

_INT32: Schema = {"type": "integer", "format": "int32"}
_UINT32: Schema = {"type": "integer", "format": "int64", "minimum": 0}
# Numbers of 64 bits are text: JavaScript's numbers end at 2^53.
_INT64: Schema = {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,18}$"}
_UINT64: Schema = {"type": "string", "format": "uint64", "pattern": "^[0-9]{1,18}$"}

SCALARS: Final[Mapping[int, Schema]] = {
    Field.TYPE_STRING: {"type": "string"},
    Field.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Field.TYPE_FLOAT: {"type": "number", "format": "float"},
    Field.TYPE_INT32: _INT32,
    Field.TYPE_SINT32: _INT32,
    Field.TYPE_SFIXED32: _INT32,
    Field.TYPE_UINT32: _UINT32,
    Field.TYPE_FIXED32: _UINT32,
    Field.TYPE_INT64: _INT64,
    Field.TYPE_SINT64: _INT64,
    Field.TYPE_SFIXED64: _INT64,
    Field.TYPE_UINT64: _UINT64,
    Field.TYPE_FIXED64: _UINT64,
}
"""By the number of the type in a descriptor."""

WELL_KNOWN: Final[Mapping[str, Schema]] = {
    "google.protobuf.Timestamp": {
        "type": "string",
        "format": "date-time",
        "examples": ["2026-05-04T12:30:00Z"],
    },
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
        "examples": ["90s", "1.5s"],
    },
    "google.protobuf.FieldMask": {
        "type": "string",
        "pattern": r"^[A-Za-z0-9_.*,]*$",
        "examples": ["name,description"],
    },
}
"""What JSON has a form of its own for."""

DESCRIBED: Final[Mapping[str, Mapping[str, str]]] = {
    "google.type.Money": {
        "": "An amount of money: 12.34 euros are 12 units and 340,000,000 nanos.",
        "currency_code": "The currency (ISO 4217), such as EUR.",
        "units": "The whole units of the amount.",
        "nanos": "The billionths of a unit; of the sign of `units`.",
    },
    "google.type.LatLng": {
        "": "A point on Earth (WGS 84).",
        "latitude": "Degrees north, from -90 to 90.",
        "longitude": "Degrees east, from -180 to 180.",
    },
    "google.type.TimeOfDay": {
        "": "A time of day without a date.",
        "hours": "The hour, from 0 to 24.",
        "minutes": "The minute, from 0 to 59.",
        "seconds": "The second, from 0 to 59.",
        "nanos": "The billionths of a second.",
    },
    "google.type.Date": {
        "": "A day of the calendar.",
        "year": "The year.",
        "month": "The month, from 1 to 12.",
        "day": "The day, from 1 to 31.",
    },
    "google.type.Decimal": {
        "": "A number in decimal digits.",
        "value": "The digits, such as 2.50.",
    },
}
"""The words for messages that are not the contract's: under "" what they are, else their fields."""

ALWAYS_THERE: Final = frozenset({"google.type.Money.currency_code"})
"""The fields of those that must be given and are always answered."""
