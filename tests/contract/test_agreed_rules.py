"""Each rule that was agreed for a field of a request is held by the server: what breaks it is refused at that field.

What keeps it, up to the bound itself, is not. The rules are those of fields.txt, given to the parsers of the methods.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message_factory import GetMessageClass
from marketd.kernel.call.refusals import ValidationFailed
from marketd.transport.rules import Rule
from marketd.transport.validation import Parse, Validation

from tests.worlds.agreed import OURS, agreed_fields
from tests.worlds.observed import RULES

VALIDATION = Validation()
NUMBERS = ("int32", "int64", "double")
FORMS = ("uuid", "email", "uri", "(phone)", "(slug)", "(region_code)", "pattern", "in")
WORDLESS = "\u00a7 \u00a7"
"""Has no form that any text is asked for."""
UNKNOWN = 9_999
Way = tuple[FieldDescriptor, ...]


def _value_of(field: Any) -> Any:
    """The field itself, or that of its map's values."""
    entry = field.message_type
    return entry.fields_by_name["value"] if entry is not None and entry.GetOptions().map_entry else field


@cache
def ways() -> Mapping[str, tuple[Rule, Way]]:
    """The shortest way to each field of ours that a request carries, by the field's full name."""
    found: dict[str, tuple[Rule, Way]] = {}
    for rule in RULES.values():
        if not rule.method.startswith(f"/{OURS}"):
            continue
        waiting: deque[tuple[Any, Way]] = deque([(rule.request.DESCRIPTOR, ())])
        while waiting:
            message, way = waiting.popleft()
            for field in message.fields:
                known = found.get(field.full_name)
                if (known is not None and len(known[1]) <= len(way) + 1) or "OUTPUT_ONLY" in line(field):
                    continue
                found[field.full_name] = (rule, (*way, field))
                inner = _value_of(field).message_type
                if inner is not None and inner.full_name.startswith(OURS):
                    waiting.append((inner, (*way, field)))
    return found


def line(field: FieldDescriptor) -> list[str]:
    """The words of the field's line; texts in quotes may have blanks inside."""
    return re.findall(r'(?:[^\s"]|"(?:\\.|[^"\\])*")+', agreed_fields()[field.full_name])


@cache
def parser(method: str) -> Parse:
    return VALIDATION.parser(RULES[method])


def refused(name: str, fill: Callable[[Any, str], None]) -> list[str]:
    """At which paths below the field's own a request is refused whose field was filled so; "" is the field itself."""
    rule, way = ways()[name]
    request: Any = rule.request()
    message, path = request, ""
    for step in way[:-1]:
        path += step.name
        if _value_of(step) is not step:
            message, path = getattr(message, step.name)["k"], f'{path}["k"].'
        elif step.is_repeated:
            message, path = getattr(message, step.name).add(), f"{path}[0]."
        else:
            message = getattr(message, step.name)
            message.SetInParent()
            path += "."
    last = way[-1].name
    fill(message, last)
    try:
        parser(rule.method)(request.SerializeToString())
    except ValidationFailed as refusal:
        here = path + last
        return [one.field.removeprefix(here) for one in refusal.fields if one.field.startswith(here)]
    return []


def _set(value: Any) -> Callable[[Any, str], None]:
    def fill(message: Any, name: str) -> None:
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.message_type is not None and not field.is_repeated:
            getattr(message, name).MergeFrom(value)
        elif isinstance(value, dict):
            getattr(message, name).update(value)
        elif field.is_repeated:
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)

    return fill


def _leave(message: Any, name: str) -> None:
    """Not given."""


def _items(field: Any, count: int) -> list[Any]:
    """So many different things for a list."""
    if field.message_type is not None:
        named = [one.name for one in field.message_type.fields if one.name.endswith("_id")][:1]
        make: Any = GetMessageClass(field.message_type)
        return [make(**{name: str(UUID(int=number)) for name in named}) for number in range(count)]
    if field.type == FieldDescriptor.TYPE_STRING:
        return [str(UUID(int=number)) for number in range(count)]
    return list(range(1, count + 1))


Trial = tuple[Callable[[Any, str], None], str | None, str | None]
"""What is filled in, where it must be refused, and where it must not be when that is None."""


def trials(field: Any) -> Iterator[tuple[str, Trial]]:
    """What breaks and what keeps each of the rules on the field's line."""
    words = line(field)
    loose = all(word.split("=")[0] in ("string.max_len", "string.min_len") for word in words if word[:7] == "string.")
    if "REQUIRED" in words:
        yield "REQUIRED", (_leave, "", None)
    elif not field.has_presence or "OPTIONAL" in words:
        yield "not given", (_leave, None, "")
    for word in words:
        rule, _, written = word.partition("=")
        value = [json.loads(one) for one in re.findall(r'"(?:\\.|[^"\\])*"|[^,]+', written)]
        kind, _, what = rule.partition(".")
        if kind == "string" and what in FORMS:
            yield rule, (_set(WORDLESS), "", None)
        elif rule in ("string.max_len", "bytes.max_len"):
            one = "x" if kind == "string" else b"x"
            yield rule, (_set(one * (value[0] + 1)), "", None)
            if loose:
                yield f"{rule}, just", (_set(one * value[0]), None, "")
        elif kind in NUMBERS and what in ("gte", "gt", "lte"):
            below, least = (value[0] - 1, value[0]) if what == "gte" else (value[0], value[0] + 1)
            wrong, right = (value[0] + 1, value[0]) if what == "lte" else (below, least)
            # Where 0 is nothing, a bound of 0 is shown from below alone.
            if wrong or field.has_presence or "IGNORE_IF_ZERO_VALUE" not in words:
                yield rule, (_set(wrong), "", None)
            yield f"{rule}, just", (_set(right), None, "")
        elif rule == "double.finite":
            yield rule, (_set(float("inf")), "", None)
        elif rule == "enum.defined_only":
            yield rule, (_set(UNKNOWN), "", None)
        elif rule == "enum.in":
            for number in field.enum_type.values_by_number:
                inside = number in value or (not number and "REQUIRED" not in words)
                yield f"{rule} {number}", (_set(number), None if inside else "", "")
        elif rule == "repeated.max_items":
            yield rule, (_set(_items(field, value[0] + 1)), "", None)
            yield f"{rule}, just", (_set(_items(field, value[0])), None, "")
        elif rule == "repeated.unique":
            yield rule, (_set(_items(field, 1) * 2), "", None)
        elif rule == "map.max_pairs":
            yield rule, (_set({f"k{number}": "v" for number in range(value[0] + 1)}), "", None)
            yield f"{rule}, just", (_set({f"k{number}": "v" for number in range(value[0])}), None, "")
        elif kind == "duration":
            yield rule, (_set(Duration(seconds=value[0] + 1)), "", None)
            yield f"{rule}, just", (_set(Duration(seconds=value[0])), None, "")
        elif rule.startswith(("repeated.items.", "map.keys.", "map.values.")):
            yield from _of_items(field, rule, value)
        elif rule == "string.min_len":
            # Nothing at all is known where presence is; elsewhere REQUIRED says it.
            yield rule, (_set(""), "" if field.has_presence and value == [1] else None, None)
        else:
            # What CEL says is shown where the methods are; a rule that is new here wants a trial of its own.
            assert "." not in rule or kind == "cel", f"{field.full_name}: {rule}"


def _of_items(field: Any, rule: str, value: list[Any]) -> Iterator[tuple[str, Trial]]:
    _, part, kind, what = rule.split(".", 3)
    if part != "items":
        text = "" if what == "min_len" else "x" * (value[0] + 1)
        pair = {text: "v"} if part == "keys" else {"k": text}
        yield rule, (_set(pair), f'["{text}"]' if part == "keys" else '["k"]', None)
    elif kind == "string" and what in FORMS:
        yield rule, (_set([WORDLESS]), "[0]", None)
    elif what == "max_len":
        yield rule, (_set(["x" * (value[0] + 1)]), "[0]", None)
        yield f"{rule}, just", (_set(["x" * value[0]]), None, "[0]")
    elif what == "min_len":
        yield rule, (_set([""]), "[0]", None)
    elif what == "not_in":
        yield rule, (_set([value[0]]), "[0]", None)
    elif what == "in":
        for number in field.enum_type.values_by_number:
            yield f"{rule} {number}", (_set([number]), None if number in value else "[0]", "[0]")
    elif what == "defined_only":
        yield rule, (_set([UNKNOWN]), "[0]", None)
    elif what in ("gte", "lte"):
        beyond = value[0] - 1 if what == "gte" else value[0] + 1
        yield rule, (_set([beyond]), "[0]", None)
        yield f"{rule}, just", (_set([value[0]]), None, "[0]")


def _wrong(name: str, rule: str, trial: Trial) -> str:
    fill, where, nowhere = trial
    places = refused(name, fill)
    if where is not None and where not in places:
        return f"{name}: {rule} is not held"
    if where is None and nowhere in places:
        return f"{name}: {rule} is refused"
    return ""


@pytest.mark.parametrize("service", sorted({rule.method.split("/")[1] for rule, _ in ways().values()}))
def test_what_breaks_a_rule_of_a_field_is_refused_there_and_what_keeps_it_is_not(service: str) -> None:
    mine = {name: way for name, (rule, way) in ways().items() if rule.method.split("/")[1] == service}
    tried = [(name, rule, trial) for name, way in mine.items() for rule, trial in trials(way[-1])]
    assert len(tried) >= len(mine) > 0 or service.endswith("ServerService")
    assert [said for name, rule, trial in tried if (said := _wrong(name, rule, trial))] == []
