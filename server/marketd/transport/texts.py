"""What holds for the texts of every request, decided by the names of their fields: this is the one place for it.

No text holds control characters or turns the direction of others, and none is blank. Texts of several lines may hold
line breaks and tabs. Around logins, e-mails, phones, usernames and codes blanks mean nothing, because none has any:
keyboards put them there, so they are taken away before anything else looks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor

from marketd.kernel.values.texts import text_problem

_LINES = frozenset({"comment", "description", "message", "note", "notes", "reason", "reply", "text"})
_TRIMMED = re.compile(r"(.+_)?(login|email|phone|username|code)s?")
_UUID = re.compile(r"\^.*\[0-9a-fA-F\]\{8\}.*\$")


def may_have_lines(field: FieldDescriptor) -> bool:
    """Whether the text may have more than one line."""
    return field.name in _LINES


def is_trimmed(field: FieldDescriptor) -> bool:
    """Whether blanks around the text mean nothing. Only the contract's own fields: Google's are judged as they are."""
    owner: Any = field.containing_type
    return owner.full_name.startswith("marketplace.") and _TRIMMED.fullmatch(field.name) is not None


def judge_of(field: FieldDescriptor) -> Callable[[str], str] | None:
    """What tells the problem of a text of this field; None where there is no text, or where its form leaves no room."""
    if field.type != FieldDescriptor.TYPE_STRING or _is_id(field):
        return None
    return partial(text_problem, lines=True) if may_have_lines(field) else text_problem


def _is_id(field: FieldDescriptor) -> bool:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    text = rules.repeated.items.string if field.is_repeated else rules.string
    return bool(text.uuid) or _UUID.fullmatch(text.pattern) is not None
