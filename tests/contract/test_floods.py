"""No request of the allowed size holds the event loop: lists are measured before any rule looks at their items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from marketd.app import SERVICES
from marketd.kernel.call.refusals import ValidationFailed
from marketd.transport.access import AccessTable
from marketd.transport.rules import Rule
from marketd.transport.validation import Validation

ITEMS = 100_000
"""Two bytes each: well below the size that a request may have, and minutes of work for a quadratic rule."""

RULES = tuple(AccessTable.from_names(SERVICES))


def _varint(number: int) -> bytes:
    text = b""
    while number > 127:
        text += bytes([number & 127 | 128])
        number >>= 7
    return text + bytes([number])


def _nested(field: FieldDescriptor, inner: bytes) -> bytes:
    return _varint(field.number << 3 | 2) + _varint(len(inner)) + inner


def _floods(descriptor: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Every list below the message, and the bytes of a request that holds it `ITEMS` times empty."""
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue  # empty pairs have one key and fall into one
        is_blob = field.message_type is not None or field.type in (field.TYPE_STRING, field.TYPE_BYTES)
        if field.is_repeated and is_blob:
            yield field.name, lambda field=field: (_varint(field.number << 3 | 2) + b"\0") * ITEMS  # type: ignore[misc]
        elif field.is_repeated:
            yield field.name, lambda field=field: _nested(field, b"\x01" * ITEMS)  # type: ignore[misc]
        if field.message_type is not None and field.message_type.full_name not in above:
            for path, make in _floods(field.message_type, (*above, field.message_type.full_name)):
                yield f"{field.name}.{path}", lambda field=field, make=make: _nested(field, make())  # type: ignore[misc]


CASES = [(rule, path, make) for rule in RULES for path, make in _floods(rule.request.DESCRIPTOR)]


@pytest.fixture(scope="module")
def validation() -> Validation:
    return Validation()


def test_there_are_lists_to_flood() -> None:
    assert {"lines", "states", "product.variants"} <= {path for _, path, _ in CASES}


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("rule", "path", "make"), CASES, ids=[f"{rule.method.rpartition('/')[2]}-{path}" for rule, path, _ in CASES]
)
def test_a_list_without_end_is_refused_by_its_length(
    validation: Validation, rule: Rule, path: str, make: Callable[[], bytes]
) -> None:
    parse = validation.parser(rule)
    with pytest.raises(ValidationFailed) as refused:
        parse(make())
    assert any("no more than" in violation.description for violation in refused.value.fields), refused.value.fields
