"""Descriptions: HTML from strangers made safe. Pure.

Kept: the tags of plain text (paragraphs, lists, tables, emphasis, headings) without attributes, and links to http,
https and mailto addresses. Everything else of HTML is dropped: scripts and styles with what they hold, other tags but
not their text, comments. Text stays as it is, so a description without HTML comes back unchanged. Whoever shows a
description still cleans it (the contract says so); this is the first of two locks.

A small scanner of our own: every character is looked at a bounded number of times, whatever the input (html.parser has
had quadratic cases), and nothing but tags that we write ourselves leaves it.
"""

from __future__ import annotations

import html
import re

_KEPT = frozenset(
    [
        "p",
        "br",
        "hr",
        "ul",
        "ol",
        "li",
        "b",
        "strong",
        "i",
        "em",
        "u",
        "s",
        "small",
        "sub",
        "sup",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "blockquote",
        "pre",
        "code",
        "span",
        "div",
        "table",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "td",
        "th",
        "dl",
        "dt",
        "dd",
        "a",
    ]
)
_VOID = frozenset({"br", "hr"})
_DROPPED_WHOLE = frozenset({"script", "style", "iframe", "object", "embed", "template", "noscript", "svg", "math"})
_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9]*)")
_HREF = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://|mailto:)[^\s<>\"']+", re.IGNORECASE)


def safe_html(text: str) -> str:
    """The text with only harmless HTML left in it; the same again when it is cleaned twice."""
    if "<" not in text:
        return text
    return _Cleaner(text).run()


class _Cleaner:
    """One pass over a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lower = text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)
        self._out: list[str] = []
        self._open: list[str] = []
        self._absent: set[str] = set()

    def run(self) -> str:
        place = 0
        while (start := self._text.find("<", place)) >= 0:
            self._out.append(self._text[place:start])
            place = self._markup(start)
        self._out.append(self._text[place:])
        for name in reversed(self._open):
            self._out.append(f"</{name}>")
        return "".join(self._out)

    def _markup(self, start: int) -> int:
        """Take what begins with the `<` at `start`; gives where the text goes on."""
        text = self._text
        if text.startswith("<!--", start):
            return self._after("-->", start + 4)
        if text[start + 1 : start + 2] in ("!", "?"):
            return self._after(">", start + 2)
        named = _NAME.match(text, start + 1)
        if named is None:
            self._out.append("&lt;")
            return start + 1
        end = self._find(">", named.end())
        if end < 0:
            return len(text)  # a tag that never ends would swallow the rest anyway
        name, closes = named.group(1).lower(), text[start + 1] == "/"
        if name in _DROPPED_WHOLE:
            return end + 1 if closes else self._past_content(name, end + 1)
        if name in _KEPT:
            self._keep(name, text[named.end() : end], closes=closes)
        return end + 1

    def _keep(self, name: str, attributes: str, *, closes: bool) -> None:
        if name in _VOID:
            if not closes:
                self._out.append(f"<{name}>")
        elif not closes:
            # Only as deep as people write; deeper nesting is an attack on whoever shows it.
            if len(self._open) < 50:
                self._open.append(name)
                self._out.append(f"<{name}{_link(attributes) if name == 'a' else ''}>")
        elif name in self._open:
            while (inner := self._open.pop()) != name:
                self._out.append(f"</{inner}>")
            self._out.append(f"</{name}>")

    def _past_content(self, name: str, place: int) -> int:
        start = self._find(f"</{name}", place)
        return len(self._text) if start < 0 else self._after(">", start)

    def _after(self, mark: str, place: int) -> int:
        found = self._find(mark, place)
        return len(self._text) if found < 0 else found + len(mark)

    def _find(self, mark: str, place: int) -> int:
        # Once a mark is not found it is not looked for again, or many unclosed things would cost a pass each.
        if mark in self._absent:
            return -1
        found = self._lower.find(mark, place)
        if found < 0:
            self._absent.add(mark)
        return found


def _link(attributes: str) -> str:
    found = _HREF.search(attributes)
    if found is None:
        return ""
    address = html.unescape(found.group(1) or found.group(2) or found.group(3) or "").strip()
    if _LINK.fullmatch(address) is None:
        return ""
    return f' href="{html.escape(address)}" rel="nofollow noopener"'
