"""From bytes to a request that keeps its contract: size, parsing, NUL bytes, unknown enum numbers, protovalidate.

The protobuf parser lets NUL characters and enum numbers that nobody declared pass; Postgres and the use cases do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.transport.behaviours import Behaviours
from marketd.transport.errors import MAX_VIOLATIONS
from marketd.transport.refusals import MalformedRequest, RequestTooLarge
from marketd.transport.rules import Kind, RateClass, Rule
from marketd.transport.start_errors import RulesBroken
from marketd.transport.violation_words import one_of, words

MAX_REQUEST_BYTES = 1024 * 1024
MAX_INLINE_BYTES = 4 * 1024 * 1024
MAX_LIST_ITEMS = 1_000
"""How many items a list may have that the contract sets no limit for."""
MAX_ITEMS = 10_000
"""How many items all lists of a message may have together."""
# Below this no list can be long enough to cost anything.
_FEW_BYTES = 400

_Bad = Callable[[Any], bool]
Parse = Callable[[bytes], Message]


def request_limit(rule: Rule) -> int:
    """How large one message of the method may be: an inline upload travels in one, everything else is small."""
    inline = rule.rate_class is RateClass.UPLOAD and rule.kind is Kind.UNARY
    return MAX_INLINE_BYTES if inline else MAX_REQUEST_BYTES


@cache
def _validator() -> protovalidate.Validator:
    """One a process: it keeps the rules that it has compiled, and they are the same for every server in it."""
    return protovalidate.Validator()


class Validation:
    """Makes the parsers of methods; building one compiles its rules, so that no call pays for that."""

    def __init__(self) -> None:
        self._validator = _validator()

    def parser(self, rule: Rule) -> Parse:
        """The function from bytes to a valid request. It raises MalformedRequest, RequestTooLarge, ValidationFailed.

        Raises RulesBroken when the message's rules do not compile.
        """
        collect = self._validator.collect_violations
        descriptor: Any = rule.request.DESCRIPTOR
        try:
            collect(rule.request())
        except protovalidate.CompilationError as problem:
            raise RulesBroken(descriptor.full_name, str(problem)) from problem
        from_string, limit = rule.request.FromString, request_limit(rule)
        lists = _Lists.over(descriptor)
        behaviours = Behaviours(descriptor)
        texts, enums = _Walk.over(descriptor, _nul_in_text), _Walk.over(descriptor, _unknown_number)

        def parse(raw: bytes) -> Message:
            if len(raw) > limit:
                raise RequestTooLarge(limit)
            try:
                message = from_string(raw)
            except DecodeError:
                raise MalformedRequest from None
            # What nobody here knows is ignored for good: it must not tell requests apart, nor be kept with one.
            message.DiscardUnknownFields()
            # First: the rules look at every item, some at every pair, and hold the loop for as long as that takes.
            if lists is not None and len(raw) > _FEW_BYTES:
                lists.check(message)
            # Only a message with a zero byte somewhere can hold a NUL character: the walk is rare.
            if texts is not None and b"\0" in raw:
                _refuse(texts.violations(message, "", lambda _: "must not contain the NUL character"))
            if enums is not None:
                _refuse(enums.violations(message, "", one_of))
            found = [] if behaviours.is_idle else list(behaviours.violations(message))
            found += (_field_violation(violation, descriptor) for violation in collect(message))
            if found:
                raise ValidationFailed(*found[:MAX_VIOLATIONS])
            return message

        return parse


def _refuse(violations: Iterable[FieldViolation]) -> None:
    found = tuple(islice(violations, MAX_VIOLATIONS))
    if found:
        raise ValidationFailed(*found)


def _field_violation(violation: protovalidate.Violation, message: Descriptor) -> FieldViolation:
    """A protovalidate violation with its path as `items[2].quantity`; map keys are quoted as in `options["size"]`."""
    proto = violation.proto
    path = ""
    for element in proto.field.elements if proto.field is not None else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            value = element.subscript.value
            path += f'["{value}"]' if isinstance(value, str) else f"[{value}]"
    return FieldViolation(path, words(violation, message))


def _nul_in_text(field: FieldDescriptor) -> _Bad | None:
    return (lambda text: "\0" in text) if field.type == FieldDescriptor.TYPE_STRING else None


def _unknown_number(field: FieldDescriptor) -> _Bad | None:
    if field.enum_type is None:
        return None
    known = frozenset(field.enum_type.values_by_number)
    return lambda number: number not in known


class _Lists:
    """The lists of one message type and how long they may be; built once for each method, from the descriptors."""

    __slots__ = ("_children", "_limits")

    def __init__(self) -> None:
        self._limits: list[tuple[str, int]] = []
        self._children: list[tuple[FieldDescriptor, _Lists]] = []

    @classmethod
    def over(cls, descriptor: Descriptor) -> _Lists | None:
        """The lists anywhere under `descriptor`, or None when there are none."""
        return cls._over(descriptor, {}) if _reaches_list(descriptor, set()) else None

    @classmethod
    def _over(cls, descriptor: Descriptor, made: dict[str, _Lists]) -> _Lists:
        lists = made.get(descriptor.full_name)
        if lists is None:
            lists = made[descriptor.full_name] = cls()
            for field in descriptor.fields:
                if field.is_repeated:
                    lists._limits.append((field.name, _most_items(field)))
                _, value = _key_and_value(field)
                if value.message_type is not None and _reaches_list(value.message_type, set()):
                    lists._children.append((field, cls._over(value.message_type, made)))
        return lists

    def check(self, message: Message) -> None:
        """Raises ValidationFailed for the first list that is too long."""
        self._check(message, "", MAX_ITEMS)

    def _check(self, message: Message, path: str, room: int) -> int:
        for name, most in self._limits:
            count = len(getattr(message, name))
            if count > min(most, room):
                raise ValidationFailed(
                    FieldViolation(path + name, f"must contain no more than {min(most, room)} item(s)")
                )
            room -= count
        for field, lists in self._children:
            if field.is_repeated or message.HasField(field.name):
                for where, _, value in _items(field, message):
                    room = lists._check(value, f"{path}{where}.", room)
        return room


def _most_items(field: FieldDescriptor) -> int:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    return int(rules.repeated.max_items or rules.map.max_pairs or MAX_LIST_ITEMS)


def _reaches_list(descriptor: Descriptor, seen: set[str]) -> bool:
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        if field.is_repeated:
            return True
        if field.message_type is not None and _reaches_list(field.message_type, seen):
            return True
    return False


class _Walk:
    """A walk over the fields of one message type that may be bad, and only over the messages that lead to such fields.

    Built once for each method from the descriptors, so that a request without such fields costs nothing.
    """

    __slots__ = ("_children", "_leaves")

    def __init__(self) -> None:
        self._leaves: list[tuple[FieldDescriptor, _Bad | None, _Bad | None]] = []
        self._children: list[tuple[FieldDescriptor, _Walk]] = []

    @classmethod
    def over(cls, descriptor: Descriptor, leaf: Callable[[FieldDescriptor], _Bad | None]) -> _Walk | None:
        """The walk over `descriptor`, or None when nothing in it can be bad."""
        return cls._over(descriptor, leaf, {}) if _reaches(descriptor, leaf, set()) else None

    @classmethod
    def _over(
        cls, descriptor: Descriptor, leaf: Callable[[FieldDescriptor], _Bad | None], made: dict[str, _Walk]
    ) -> _Walk:
        walk = made.get(descriptor.full_name)
        if walk is None:
            walk = made[descriptor.full_name] = cls()
            for field in descriptor.fields:
                key, value = _key_and_value(field)
                bad_key, bad_value = leaf(key) if key is not None else None, leaf(value)
                if bad_key is not None or bad_value is not None:
                    walk._leaves.append((field, bad_key, bad_value))
                if value.message_type is not None and _reaches(value.message_type, leaf, set()):
                    walk._children.append((field, cls._over(value.message_type, leaf, made)))
        return walk

    def violations(
        self, message: Message, path: str, describe: Callable[[FieldDescriptor], str]
    ) -> Iterator[FieldViolation]:
        """What is bad in the message, by path."""
        for field, bad_key, bad_value in self._leaves:
            for where, key, value in _items(field, message):
                if (bad_key is not None and bad_key(key)) or (bad_value is not None and bad_value(value)):
                    yield FieldViolation(path + where, describe(_key_and_value(field)[1]))
        for field, walk in self._children:
            if field.is_repeated or message.HasField(field.name):
                for where, _, value in _items(field, message):
                    yield from walk.violations(value, f"{path}{where}.", describe)


def _items(field: FieldDescriptor, message: Message) -> Iterator[tuple[str, Any, Any]]:
    """(path, map key, value) of each element of a field; a map's path does not repeat the client's key."""
    content = getattr(message, field.name)
    if not field.is_repeated:
        yield field.name, None, content
    elif field.message_type is not None and field.message_type.GetOptions().map_entry:
        for key in content:
            yield field.name, key, content[key]
    else:
        for index, value in enumerate(content):
            yield f"{field.name}[{index}]", None, value


def _key_and_value(field: FieldDescriptor) -> tuple[FieldDescriptor | None, FieldDescriptor]:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return entry.fields_by_name["key"], entry.fields_by_name["value"]
    return None, field


def _reaches(descriptor: Descriptor, leaf: Callable[[FieldDescriptor], _Bad | None], seen: set[str]) -> bool:
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        for part in _key_and_value(field):
            if part is None:
                continue
            if leaf(part) is not None:
                return True
            if part.message_type is not None and _reaches(part.message_type, leaf, seen):
                return True
    return False
