"""HTML from strangers made simple enough to be parsed. Pure.

Parsers of HTML take a time that grows with the square of how deep elements are nested, and open each tag of emphasis
that was left open anew in every paragraph: 60 KB can become a million elements. How deep a parser gets is only sure of
text whose tags close in the order in which they opened; all other text is written anew so that they do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

MAX_DEPTH = 200
_FEW = 200
_MAX_REOPENED = 100_000

_TOKEN = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))|<[!?][^>]*>?|</(?:>|[^a-zA-Z][^>]*>?)"
    # An equals sign and a quote begin a value, which may hold `>`.
    r"|<(?P<end>/?)(?P<name>[a-zA-Z][^\s/>]*+)(?P<rest>(?:=\s*+(?:\"[^\"]*\"|'[^']*')|[^>])*+)(?:>|\Z)",
    re.DOTALL,
)
_VALUE = re.compile(r"([a-zA-Z]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
_VOID = frozenset(["br", "hr", "img"])
_RAW = frozenset(["script", "style", "xmp", "iframe", "noembed", "noframes", "textarea", "title"])
_EMPHASIS = frozenset(["b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"])
# Where these are, what is a tag is another question.
_STRANGE = _RAW | frozenset(["svg", "math", "select", "template", "noscript", "plaintext", "frameset"])
_BLOCKS = frozenset({"p", "div", "ul", "ol", "dl", "table", "pre", "hr", "blockquote", *(f"h{n}" for n in range(1, 7))})
_ROWS = frozenset(["thead", "tbody", "tfoot", "caption"])
# What a tag ends when it begins, and beyond what it does not look for that.
_ENDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "li": (frozenset({"li"}), frozenset({"ul", "ol", "table"})),
    **dict.fromkeys(("dt", "dd"), (frozenset({"dt", "dd"}), frozenset({"dl", "table"}))),
    **dict.fromkeys(("td", "th"), (frozenset({"td", "th", "caption"}), frozenset({"table"}))),
    "tr": (frozenset({"tr", "caption"}), frozenset({"table"})),
    **dict.fromkeys(_ROWS, (_ROWS, frozenset({"table"}))),
    **dict.fromkeys(_BLOCKS, (frozenset({"p"}), frozenset({"table", "td", "th", "caption"}))),
    "a": (frozenset({"a"}), frozenset({"table"})),
}


def is_simple(text: str) -> bool:
    """Whether a parser surely takes a time for it that grows with its length alone."""
    if text.count("<") <= _FEW:
        return True
    stack: list[str] = []
    emphasis = reopened = 0
    for token in _TOKEN.finditer(text):
        name = (token["name"] or "").lower()
        if not name or name in _STRANGE or "<" in token["rest"]:
            return False
        if not token["end"]:
            reopened += emphasis
            if name not in _VOID:
                stack.append(name)
                emphasis += name in _EMPHASIS
        elif not stack or stack.pop() != name:
            return False
        else:
            emphasis -= name in _EMPHASIS
        if len(stack) > MAX_DEPTH or reopened > _MAX_REOPENED:
            return False
    return len(stack) <= _FEW


def simplified(
    text: str, kept: frozenset[str], gone: frozenset[str], attributes: Mapping[str, set[str]]
) -> tuple[str, bool]:
    """The text with the tags of `kept` only, closed in order, with these attributes, and without those of `gone` and
    what they hold; and whether it is whole: what is nested deeper than MAX_DEPTH becomes text.
    """
    written = _Written()
    at = reopened = 0
    is_whole = True
    endless: set[str] = set()
    while token := _TOKEN.search(text, at):
        written.text(text[at : token.start()])
        at = token.end()
        name = (token["name"] or "").lower()
        if token["end"]:
            written.end(name)
        elif name in gone or name in _RAW:
            found = None if name in endless else re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(text, at)
            if found is not None:
                at = found.start()
            elif name in _RAW:
                at = len(text)
            else:
                endless.add(name)
        elif name in kept:
            if len(written.stack) < MAX_DEPTH and reopened < _MAX_REOPENED // 2:
                written.begin(name, _attributes(token["rest"], attributes.get(name, ())))
                reopened += written.emphasis
            else:
                is_whole = False
    written.text(text[at:])
    return written.all(), is_whole


def _attributes(rest: str, kept: Sequence[str] | set[str]) -> str:
    found: dict[str, str] = {}
    for name, *values in _VALUE.findall(rest) if kept else ():
        if name.lower() in kept:
            found.setdefault(name.lower(), next((value for value in values if value), ""))
    return "".join(f' {name}="{_escaped(value)}"' for name, value in found.items())


def _escaped(value: str) -> str:
    return value.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


class _Written:
    """What is written, and which of its elements are open."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.stack: list[str] = []
        self.emphasis = 0

    def text(self, text: str) -> None:
        """What is no markup."""
        self._parts.append(text.replace("<", "&lt;"))

    def begin(self, name: str, attributes: str) -> None:
        """An element begins; those end that it cannot stand in."""
        self._end_one_of(*_ENDS.get(name, (frozenset(), frozenset())))
        self._parts.append(f"<{name}{attributes}>")
        if name not in _VOID:
            self.stack.append(name)
            self.emphasis += name in _EMPHASIS

    def end(self, name: str) -> None:
        """An element ends, with what is open in it."""
        self._end_one_of(frozenset({name}), frozenset({"table"}))

    def _end_one_of(self, names: frozenset[str], walls: frozenset[str]) -> None:
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] in names:
                self._end_from(place)
                return
            if self.stack[place] in walls:
                return

    def _end_from(self, place: int) -> None:
        for name in reversed(self.stack[place:]):
            self._parts.append(f"</{name}>")
            self.emphasis -= name in _EMPHASIS
        del self.stack[place:]

    def all(self) -> str:
        """All of it, closed."""
        self._end_from(0)
        return "".join(self._parts)
