"""The contract's HTTP bindings: every path and method by which REST reaches an rpc."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from google.api import annotations_pb2
from google.protobuf.descriptor_pool import Default
from marketd.transport.descriptors import json_name
from marketd.transport.rules import Rule

_VARIABLE = re.compile(r"\{([a-z_.]+)\}")


@dataclass(frozen=True)
class Binding:
    """One way to an rpc by HTTP. `body` is a field's name, `*` for the whole request, or empty."""

    rule: Rule
    verb: str
    path: str
    body: str

    @property
    def variables(self) -> list[str]:
        """The fields that stand in the path."""
        return _VARIABLE.findall(self.path)

    @property
    def parts(self) -> tuple[list[str], str]:
        """The path's segments, and the verb behind its last one; a variable is an empty segment."""
        plain, _, custom = _VARIABLE.sub("", self.path).partition(":")
        return plain.split("/")[1:], custom

    def meets(self, other: Binding) -> bool:
        """Whether there is a request that both could take."""
        (mine, my_verb), (theirs, their_verb) = self.parts, other.parts
        if (self.verb, my_verb, len(mine)) != (other.verb, their_verb, len(theirs)):
            return False
        return all(not one or not two or one == two for one, two in zip(mine, theirs, strict=True))

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


def bindings(rule: Rule) -> Iterator[Binding]:
    """The bindings of one method, the main one first."""
    method = Default().FindMethodByName(rule.method[1:].replace("/", "."))
    http = method.GetOptions().Extensions[annotations_pb2.http]
    for each in (http, *http.additional_bindings):
        pattern = each.WhichOneof("pattern")
        if pattern is not None:
            yield Binding(rule, pattern.upper(), getattr(each, pattern), each.body)


def collisions(known: list[Binding]) -> list[tuple[str, str]]:
    """The pairs that one request could mean both of."""
    return [(str(one), str(other)) for one, other in combinations(known, 2) if one.meets(other)]


def camel(path: str) -> str:
    """A field's path as JSON writes it."""
    return ".".join(json_name(step) for step in path.split("."))
