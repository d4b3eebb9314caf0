"""What the contract's comments promise: the metadata keys of each reason, and the reasons of each rpc.

Read from the .proto files, whose comments descriptors in Python do not carry. A reason's comment ends with
`Code: X. Metadata: a, b; sometimes c.`; an rpc's with `Errors: A, B for …, C.`, or `Errors: none of its own.`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROTOS = Path(__file__).resolve().parents[2] / "protos" / "marketplace"
_REASON = re.compile(r"((?:  // .*\n)+)  ERROR_REASON_(\w+) = \d+;")
_ENDING = re.compile(r"Code: (?P<code>\w+)\. Metadata: (?P<keys>[\w, ]+?)(?:; sometimes (?P<sometimes>[\w, ]+))?\.$")
_RPC = re.compile(r"((?:  // .*\n)+)  rpc (\w+)\(")
_NAME = re.compile(r"\b[A-Z][A-Z]+(?:_[A-Z]+)*\b")


@dataclass(frozen=True)
class ReasonComment:
    """How a reason's comment ends."""

    code: str
    always: frozenset[str]
    sometimes: frozenset[str]


@cache
def reason_comments() -> Mapping[str, ReasonComment]:
    """The comments of all reasons but UNSPECIFIED, by the reason's name without its prefix."""
    text = (PROTOS / "errors" / "v1" / "error_reason.proto").read_text()
    return {name: _ending(name, comment) for comment, name in _REASON.findall(text) if name != "UNSPECIFIED"}


@cache
def rpc_reasons() -> Mapping[str, frozenset[str]]:
    """The reasons that each rpc's comment names, by the method's path; an rpc without `Errors:` is left out."""
    found: dict[str, frozenset[str]] = {}
    for path in sorted(PROTOS.glob("*/v1/*.proto")):
        text = path.read_text()
        package = re.search(r"^package ([\w.]+);", text, re.MULTILINE)
        for service in re.finditer(r"^service (\w+) \{$", text, re.MULTILINE):
            assert package is not None, path
            body = text[service.end() : text.index("\n}", service.end())]
            found |= _of_service(f"/{package[1]}.{service[1]}/", body)
    return found


def _of_service(prefix: str, text: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    known = reason_comments()
    for comment, name in _RPC.findall(text):
        words = _plain(comment)
        if "Errors:" not in words:
            continue
        errors = words.partition("Errors:")[2]
        reasons = frozenset(word for word in _NAME.findall(errors) if word in known)
        found[f"{prefix}{name}"] = reasons
    return found


def _ending(name: str, comment: str) -> ReasonComment:
    match = _ENDING.search(_plain(comment))
    assert match is not None, f"the comment of {name} does not end with its code and metadata keys"
    return ReasonComment(match["code"], _keys(match["keys"]), _keys(match["sometimes"] or "none"))


def _keys(text: str) -> frozenset[str]:
    return frozenset() if text == "none" else frozenset(text.split(", "))


def _plain(comment: str) -> str:
    return " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
