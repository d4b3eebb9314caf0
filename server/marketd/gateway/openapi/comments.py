"""The comments of the contract, by the full names of what they stand on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import FileDescriptorProto

# The numbers of the lists in a descriptor, as locations name them: in a file, and in a message.
_OF_FILE = {4: "message_type", 5: "enum_type", 6: "service", 7: "extension"}
_OF_MESSAGE = {2: "field", 3: "nested_type", 4: "enum_type", 6: "extension", 8: "oneof_decl"}
_OF_ENUM = {2: "value"}
_OF_SERVICE = {2: "method"}
_LISTS = {
    "message_type": _OF_MESSAGE,
    "nested_type": _OF_MESSAGE,
    "enum_type": _OF_ENUM,
    "service": _OF_SERVICE,
}
_ERRORS = "Errors:"
_REASON = re.compile(r"\b[A-Z][A-Z]+(?:_[A-Z]+)*\b")


@dataclass(frozen=True, slots=True)
class MethodWords:
    """An rpc's comment: what it does, and the reasons of its refusals, each with its cause where one is told."""

    text: str
    reasons: Mapping[str, str]


def comments(files: Iterable[FileDescriptorProto]) -> Mapping[str, str]:
    """The leading comments, each in one line, by full name."""
    found: dict[str, str] = {}
    for file in files:
        for location in file.source_code_info.location:
            if location.leading_comments and (name := _name(file, location.path)):
                found[name] = " ".join(location.leading_comments.split())
    return found


def _name(file: FileDescriptorProto, path: Iterable[int]) -> str:
    """The full name of what a location's path leads to; empty when it is no element."""
    scope: object = file
    lists: Mapping[int, str] = _OF_FILE
    names = [file.package]
    for kind, index in _pairs(path):
        name = lists.get(kind)
        if name is None or index < 0:
            return ""
        scope = getattr(scope, name)[index]
        # The values of an enum are called as if they stood beside it; so are they in descriptors.
        if name == "value":
            names.pop()
        names.append(scope.name)  # type: ignore[attr-defined]  # every element has one
        lists = _LISTS.get(name, {})
    return ".".join(names)


def _pairs(path: Iterable[int]) -> Iterator[tuple[int, int]]:
    steps = iter(path)
    for kind in steps:
        yield kind, next(steps, -1)


def method_words(comment: str, known: Iterable[str]) -> MethodWords:
    """Take an rpc's comment apart: `… Errors: A, B for …, C.` names the reasons A, B and C of those that are known."""
    text, _, errors = comment.partition(_ERRORS)
    reasons = frozenset(known)
    named = [found for found in _REASON.finditer(errors) if found[0] in reasons]
    ends = [found.start() for found in named[1:]] + [len(errors)]
    causes: dict[str, str] = {}
    for found, end in zip(named, ends, strict=False):
        cause = re.sub(r"[\s,;]+(and|or)?$", "", errors[found.end() : end].strip().strip(",;. "))
        causes.setdefault(found[0], cause)
    return MethodWords(text.strip(), causes)
