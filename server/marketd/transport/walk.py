"""A walk over the fields of a request that can be bad in themselves: texts, enum numbers and amounts.

Built once for each method from the descriptors. It goes only where such fields are, and asks only fields that are set,
so what a request does not use costs it next to nothing. What the server owns (OUTPUT_ONLY) is passed over: it is
ignored when a client gives it back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from marketd.kernel.call.refusals import FieldViolation
from marketd.kernel.masks import behaviours
from marketd.transport import amounts, texts
from marketd.transport.violation_words import one_of

_Problem = Callable[[Any], str]


class _Judge(Protocol):
    def judge(self, message: Any, path: str, found: list[FieldViolation]) -> None: ...


class Walk:
    """The walk over one message type."""

    __slots__ = ("_lists", "_many", "_maps", "_one", "_single", "_trimmed", "_trimmed_lists")

    def __init__(self) -> None:
        self._trimmed: list[str] = []
        self._trimmed_lists: list[str] = []
        self._single: list[tuple[str, _Problem]] = []
        self._lists: list[tuple[str, _Problem]] = []
        self._maps: list[tuple[str, _Problem | None, _Problem | None, _Judge | None]] = []
        self._one: list[tuple[str, _Judge]] = []
        self._many: list[tuple[str, _Judge]] = []

    @classmethod
    def over(cls, message: Descriptor) -> Walk | None:
        """The walk over `message`, or None when nothing in it can be bad."""
        return cls._over(message, {}) if _reaches(message, set()) else None

    @classmethod
    def _over(cls, message: Descriptor, made: dict[str, Walk]) -> Walk:
        walk = made.get(message.full_name)
        if walk is None:
            walk = made[message.full_name] = cls()
            for field in message.fields:
                if not is_owned(field):
                    walk._add(field, made)
        return walk

    def _add(self, field: FieldDescriptor, made: dict[str, Walk]) -> None:
        key, value = key_and_value(field)
        problem, inside = _problem_of(value), _inside(value, made)
        if key is not None:
            key_problem = _problem_of(key)
            if key_problem is not None or problem is not None or inside is not None:
                self._maps.append((field.name, key_problem, problem, inside))
        elif problem is not None:
            (self._lists if field.is_repeated else self._single).append((field.name, problem))
            if texts.is_trimmed(field) and field.type == FieldDescriptor.TYPE_STRING:
                (self._trimmed_lists if field.is_repeated else self._trimmed).append(field.name)
        elif inside is not None:
            (self._many if field.is_repeated else self._one).append((field.name, inside))

    def judge(self, message: Any, path: str, found: list[FieldViolation]) -> None:
        """Trim what is trimmed, and put into `found` what is bad. The fields of `message` stand at `path` (`item.`)."""
        for name in self._trimmed:
            text = getattr(message, name)
            if text and (text[0].isspace() or text[-1].isspace()):
                # What is blank altogether stays, so that it is refused and does not count as left out.
                setattr(message, name, text.strip() or text)
        for name in self._trimmed_lists:
            items = getattr(message, name)
            for index, text in enumerate(items):
                items[index] = text.strip() or text
        for name, problem_of in self._single:
            value = getattr(message, name)
            if value and (problem := problem_of(value)):
                found.append(FieldViolation(path + name, problem))
        for name, problem_of in self._lists:
            for index, value in enumerate(getattr(message, name)):
                if value and (problem := problem_of(value)):
                    found.append(FieldViolation(f"{path}{name}[{index}]", problem))
        for name, walk in self._one:
            if message.HasField(name):
                walk.judge(getattr(message, name), f"{path}{name}.", found)
        for name, walk in self._many:
            for index, value in enumerate(getattr(message, name)):
                walk.judge(value, f"{path}{name}[{index}].", found)
        if self._maps:
            self._judge_maps(message, path, found)

    def _judge_maps(self, message: Any, path: str, found: list[FieldViolation]) -> None:
        """A map's path does not repeat the client's key."""
        for name, key_problem, value_problem, walk in self._maps:
            entries = getattr(message, name)
            for key in entries:
                value = entries[key]
                problem = key_problem(key) if key_problem is not None and key else ""
                if not problem and value_problem is not None and value:
                    problem = value_problem(value)
                if problem:
                    found.append(FieldViolation(path + name, problem))
                if walk is not None:
                    walk.judge(value, f"{path}{name}.", found)


def _problem_of(field: FieldDescriptor) -> _Problem | None:
    """What tells the problem of a value of the field, "" being none; None when it cannot have any."""
    if field.enum_type is None:
        return texts.judge_of(field)
    known, words = frozenset(field.enum_type.values_by_number), one_of(field)
    return lambda number: "" if number in known else words


def _inside(field: FieldDescriptor, made: dict[str, Walk]) -> _Judge | None:
    message = field.message_type
    if message is None:
        return None
    if message.full_name == amounts.MESSAGE:
        return amounts.Amounts()
    return Walk._over(message, made) if _reaches(message, set()) else None


def is_owned(field: FieldDescriptor) -> bool:
    """Whether the field is the server's, who ignores what comes in it."""
    return field_behavior_pb2.OUTPUT_ONLY in behaviours(field)


def key_and_value(field: FieldDescriptor) -> tuple[FieldDescriptor | None, FieldDescriptor]:
    """A map's fields for key and value; None and the field itself when it is no map."""
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return entry.fields_by_name["key"], entry.fields_by_name["value"]
    return None, field


def _reaches(message: Descriptor, seen: set[str]) -> bool:
    """Whether the message, or one inside, has a field that can be bad."""
    if message.full_name in seen:
        return False
    seen.add(message.full_name)
    for field in message.fields:
        if is_owned(field):
            continue
        for part in key_and_value(field):
            if part is None:
                continue
            if _problem_of(part) is not None:
                return True
            inside = part.message_type
            if inside is not None and (inside.full_name == amounts.MESSAGE or _reaches(inside, seen)):
                return True
    return False
