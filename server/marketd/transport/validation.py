"""From bytes to a request that keeps its contract: size, parsing, what walk.py and behaviours.py hold, protovalidate.

The protobuf parser lets control characters and enum numbers that nobody declared pass; Postgres and people do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol

import protovalidate
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.transport.behaviours import Behaviours
from marketd.transport.idempotency import give
from marketd.transport.refusals import MalformedRequest, RequestTooLarge
from marketd.transport.rules import Kind, RateClass, Rule
from marketd.transport.start_errors import RulesBroken
from marketd.transport.violation_words import words
from marketd.transport.walk import Walk, key_and_value

MAX_REQUEST_BYTES = 1024 * 1024
MAX_INLINE_BYTES = 4 * 1024 * 1024
MAX_LIST_ITEMS = 1_000
"""How many items a list may have that the contract sets no limit for."""
MAX_ITEMS = 10_000
"""How many items all lists of a message may have together."""
# Below this no list can be long enough to cost anything.
_FEW_BYTES = 400


class Parse(Protocol):
    """The function from bytes to a valid request."""

    def __call__(self, raw: bytes, request_id: str = "", /) -> Message:
        """Raises MalformedRequest, RequestTooLarge, ValidationFailed.

        `request_id` came beside the bytes, and only where the request has such a field; empty for none.
        """


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
        """The method's own. Raises RulesBroken when the message's rules do not compile."""
        collect = self._validator.collect_violations
        descriptor: Any = rule.request.DESCRIPTOR
        try:
            collect(rule.request())
        except protovalidate.CompilationError as problem:
            raise RulesBroken(descriptor.full_name, str(problem)) from problem
        from_string, limit = rule.request.FromString, request_limit(rule)
        lists = _Lists.over(descriptor)
        behaviours = Behaviours(descriptor)
        walk = Walk.over(descriptor)

        def parse(raw: bytes, request_id: str = "", /) -> Message:
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
            found: list[FieldViolation] = []
            if request_id and (other := give(message, request_id)) is not None:
                found.append(other)
            if walk is not None:
                walk.judge(message, "", found)
            if not behaviours.is_idle:
                found += behaviours.violations(message)
            broken = collect(message)
            if found or broken:
                raise ValidationFailed(*_each_once(found, broken, descriptor))
            return message

        return parse


def _each_once(
    found: list[FieldViolation], broken: list[protovalidate.Violation], message: Descriptor
) -> list[FieldViolation]:
    """All that is wrong; a field whose content was refused is not told that it has the wrong form as well."""
    wrong = {violation.field for violation in found}
    found += (one for one in (_field_violation(each, message) for each in broken) if one.field not in wrong)
    return found


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
                _, value = key_and_value(field)
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
