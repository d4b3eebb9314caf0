"""What field_behavior asks of requests: REQUIRED fields are there, and masks name what an update may change.

Built once for each method from the descriptors. A request's own REQUIRED fields must be given always; those inside what
it carries when that is to be made (Create), changed (Update: what the mask names, AIP-203) or used (all else).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any
from uuid import UUID

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from marketd.kernel.call.refusals import FieldViolation
from marketd.kernel.masks import EVERYTHING, behaviours, has_value, is_ours, settable, update_paths
from marketd.transport.idempotency import MISSING as MISSING_KEY

_MISSING = "must be given"
_KEY = "request_id"
_MASK = "update_mask"
# What a caller may also name as its own, without knowing the id: it has one.
_OWN = frozenset({"marketplace.auth.v1.User"})
_ME = "me"
# What has a call of its own.
_INSTEAD = {"marketplace.auth.v1.User.email": "changed by ChangeEmail"}


class Behaviours:
    """The judge of one method's requests."""

    __slots__ = ("_resource", "_tree")

    def __init__(self, request: Descriptor) -> None:
        self._resource = _updated(request)
        self._tree = _Required.over(request, {}, leave_out=self._resource)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to judge."""
        return self._resource is None and not self._tree.reaches

    def violations(self, request: Message) -> Iterator[FieldViolation]:
        """What is missing or may not be named, by path."""
        yield from self._tree.missing(request, "")
        if self._resource is not None and request.HasField(self._resource.name):
            yield from _of_update(request, self._resource)


def _updated(request: Descriptor) -> FieldDescriptor | None:
    """The field with the resource that a request updates by a mask; None in all other requests."""
    if _MASK not in request.fields_by_name:
        return None
    return next((field for field in request.fields if is_ours(field)), None)


def _of_update(request: Any, field: Any) -> Iterator[FieldViolation]:
    resource: Message = getattr(request, field.name)
    yield from _identified(resource, field)
    named, wrong = tuple(request.update_mask.paths), False
    for index, path in enumerate(named):
        problem = _problem_of_path(path, resource.DESCRIPTOR, alone=len(named) == 1)
        if problem:
            wrong = True
            yield FieldViolation(f"{_MASK}.paths[{index}]", problem)
    if not wrong:
        for path in sorted(update_paths(resource, request.update_mask)):
            yield from _missing_at(resource, path.split("."), f"{field.name}.")


def _identified(resource: Message, field: Any) -> Iterator[FieldViolation]:
    name = _id_of(resource.DESCRIPTOR, field)
    if name is None:
        return
    given = getattr(resource, name)
    if not given:
        yield FieldViolation(f"{field.name}.{name}", f"must name the {field.name.replace('_', ' ')} to change")
        return
    if given == _ME and resource.DESCRIPTOR.full_name in _OWN:
        return
    try:
        UUID(given)
    except ValueError:
        yield FieldViolation(f"{field.name}.{name}", "must be a valid UUID")


def _id_of(resource: Any, field: Any) -> str | None:
    """The field with the resource's own id: that of the request's field, or the first id that the server makes."""
    if f"{field.name}_id" in resource.fields_by_name:
        return f"{field.name}_id"
    made = (one for one in resource.fields if one.name.endswith("_id") and _is(one, field_behavior_pb2.OUTPUT_ONLY))
    return next((one.name for one in made), None)


def _problem_of_path(path: str, resource: Any, *, alone: bool) -> str:
    """Why an update may not name the path; empty when it may."""
    if path == EVERYTHING:
        return "" if alone else "must stand alone: it is every field"
    message: Any
    steps, message = path.split("."), resource
    for depth, step in enumerate(steps):
        field = message.fields_by_name.get(step)
        if field is None:
            return f"must be one of {', '.join(settable(message))}"
        if step not in settable(message):
            return f"must not name {step}, which is {_INSTEAD.get(field.full_name, 'not changed by an update')}"
        if depth < len(steps) - 1:
            if not is_ours(field):
                return f"must name {step} as a whole"
            message = field.message_type
    return ""


def _missing_at(message: Message, steps: list[str], path: str) -> Iterator[FieldViolation]:
    field = message.DESCRIPTOR.fields_by_name[steps[0]]
    if len(steps) > 1:
        yield from _missing_at(getattr(message, field.name), steps[1:], f"{path}{field.name}.")
    elif _is(field, field_behavior_pb2.REQUIRED) and not _is_given(message, field):
        yield FieldViolation(path + field.name, MISSING_KEY if field.name == _KEY else _MISSING)
    else:
        yield from _inside(message, field, path)


def _inside(message: Message, field: Any, path: str) -> Iterator[FieldViolation]:
    value = _message_of(field)
    if value is not None:
        tree = _tree_over(value)
        for where, one in _messages(message, field):
            yield from tree.missing(one, f"{path}{where}.")


class _Required:
    """The REQUIRED fields of one message type, and the fields that lead to more of them."""

    __slots__ = ("_children", "_required")

    def __init__(self) -> None:
        self._required: list[FieldDescriptor] = []
        self._children: list[tuple[FieldDescriptor, _Required]] = []

    @classmethod
    def over(
        cls, message: Descriptor, made: dict[str, _Required], *, leave_out: FieldDescriptor | None = None
    ) -> _Required:
        """The tree over `message`; what is in `leave_out` is judged otherwise."""
        tree = made.get(message.full_name)
        if tree is None:
            tree = made[message.full_name] = cls()
            for field in message.fields:
                if _is(field, field_behavior_pb2.REQUIRED):
                    tree._required.append(field)
                value = _message_of(field)
                if value is not None and field is not leave_out and not _is(field, field_behavior_pb2.OUTPUT_ONLY):
                    child = cls.over(value, made)
                    if child.reaches or child is tree:
                        tree._children.append((field, child))
        return tree

    @property
    def reaches(self) -> bool:
        """Whether anything can be missing."""
        return bool(self._required or self._children)

    def missing(self, message: Message, path: str) -> Iterator[FieldViolation]:
        """The REQUIRED fields that are not given, here and in the messages that are."""
        for field in self._required:
            if not _is_given(message, field):
                yield FieldViolation(path + field.name, MISSING_KEY if field.name == _KEY else _MISSING)
        for field, tree in self._children:
            for where, one in _messages(message, field):
                yield from tree.missing(one, f"{path}{where}.")


@cache
def _tree_over(message: Any) -> _Required:
    return _Required.over(message, {})


def _is(field: Any, behaviour: int) -> bool:
    return behaviour in behaviours(field)


def _is_given(message: Message, field: Any) -> bool:
    """Present and, of a text, not empty; 0 counts where presence is known."""
    text = field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
    return bool(getattr(message, field.name)) if text else has_value(message, field)


def _message_of(field: Any) -> Any:
    """The contract's own message that the field, its items or its map's values are."""
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        message = message.fields_by_name["value"].message_type
    return message if message is not None and message.full_name.startswith("marketplace.") else None


def _messages(message: Message, field: Any) -> Iterator[tuple[str, Message]]:
    """(path, message) of each message in the field."""
    content = getattr(message, field.name)
    if not field.is_repeated:
        if message.HasField(field.name):
            yield field.name, content
    elif field.message_type is not None and field.message_type.GetOptions().map_entry:
        for key in content:
            yield field.name, content[key]
    else:
        for index, one in enumerate(content):
            yield f"{field.name}[{index}]", one
