"""The trail: leaves an entry in the audit log for every call of a method whose rule says `audit: true`.

It sees what no use case can: calls that the links refused, answers that were kept, handlers that broke. The entry of a
success is written by the use case in the effect's own transaction; the trail leaves that out and adds the rest.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from marketd.audit.call import Act, AuditedCall, AuditedWords
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.reasons import Code
from marketd.transport.passage import Passage
from marketd.transport.rules import Rule

# An entry stands before its answer goes out, so that whoever was refused can be looked up at once; but a database that
# does not answer must not hold up refusals for longer.
_WAIT_SECONDS = 0.5
# What is refused for want of room or time must go out at once; its entry follows.
_IN_A_HURRY = frozenset({Code.RESOURCE_EXHAUSTED.value, Code.UNAVAILABLE.value, Code.DEADLINE_EXCEEDED.value})
_OK = "OK"
_SELF = "me"
_OWN_FIELDS = frozenset({"request_id"})

_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)

_Subject = Callable[[Message], tuple[str, str]]


class AuditSink(Protocol):
    """Where entries go; auth's journal is one."""

    def note(self, call: AuditedCall) -> asyncio.Future[None]:
        """Take an entry, at once and always; what is returned is done when it is written."""
        ...


class AuditTrail:
    """The trail of one method."""

    __slots__ = ("_note", "_subject")

    def __init__(self, sink: AuditSink, rule: Rule) -> None:
        self._note = sink.note
        descriptor: Any = rule.request.DESCRIPTOR  # of protobuf's C implementation, which its types tell apart
        self._subject = subject_of(descriptor)

    def note(self, passage: Passage) -> asyncio.Future[None] | None:
        """Leave the entry, once a call; None when it stands already."""
        call = passage.call
        if passage.is_audited or (call.audited and passage.code == _OK):
            return None
        passage.is_audited = True
        message, caller = passage.message, call.caller
        kind, identifier = self._subject(message) if message is not None else ("", "")
        if identifier == _SELF and caller.user_id is not None:
            identifier = str(caller.user_id)
        if call.about:
            kind, _, identifier = call.about.partition("/")
        if not _ID.fullmatch(identifier):
            identifier = ""  # people paste secrets into the wrong field
        if caller.address != passage.address:
            # Refused before it was known who calls.
            caller = Caller(caller.user_id, caller.session_id, caller.roles, passage.address)
        return self._note(
            AuditedCall(
                method=passage.rule.method,
                caller=caller,
                correlation_id=call.correlation_id,
                resource_type=kind,
                resource_id=identifier,
                code=passage.code,
                reason=passage.reason,
                comment=_reason_in(message),
            )
        )

    async def attest(self, passage: Passage) -> None:
        """Leave the entry and wait, a moment at most, until it is written."""
        written = self.note(passage)
        if written is not None and passage.code not in _IN_A_HURRY:
            seconds = min(_WAIT_SECONDS, passage.call.remaining_seconds(_WAIT_SECONDS))
            # asyncio.wait cancels nothing when the time is up: the entry is written all the same.
            await asyncio.wait((written,), timeout=max(seconds, 0.0))


def audited_words(rules: Iterable[Rule]) -> AuditedWords:
    """What entries can name: these methods and what is done outside of calls, and what requests name by an id."""
    methods, kinds = {str(act) for act in Act}, {"signing_key"}
    for rule in rules:
        methods.add(rule.method)
        kinds.update(_kinds_in(rule.request.DESCRIPTOR))
    return AuditedWords(frozenset(methods), frozenset(kinds))


def _kinds_in(request: Any) -> Iterator[str]:
    for field in request.fields:
        if _is_id(field) and field.name not in _OWN_FIELDS:
            yield field.name.removesuffix("_id")
        elif field.message_type is not None and f"{field.name}_id" in field.message_type.fields_by_name:
            yield field.name


def subject_of(descriptor: Descriptor) -> _Subject:
    """Reads what a request is about: the first `<kind>_id` in it, or the `<kind>.<kind>_id` of an update."""
    for field in sorted(descriptor.fields, key=lambda field: field.number):
        if _is_id(field) and field.name not in _OWN_FIELDS:
            return _by_field(field.name)
        inner = field.message_type
        own = inner.fields_by_name.get(f"{field.name}_id") if inner is not None and not field.is_repeated else None
        if own is not None and _is_id(own):
            return _by_resource(field.name)
    return lambda message: ("", "")


def _is_id(field: FieldDescriptor) -> bool:
    return field.name.endswith("_id") and field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated


def _by_field(name: str) -> _Subject:
    kind = name.removesuffix("_id")
    return lambda message: (kind, getattr(message, name))


def _by_resource(name: str) -> _Subject:
    return lambda message: (name, getattr(getattr(message, name), f"{name}_id"))


def _reason_in(message: Message | None) -> str:
    """Why, in the caller's words, of requests that ask for that."""
    said = getattr(message, "reason", "")
    return said if isinstance(said, str) else ""
