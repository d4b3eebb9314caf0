"""Descriptions: HTML from strangers made safe. Pure.

Kept: the tags of plain text (paragraphs, lists, tables, emphasis, headings), links to http, https, mailto and tel
addresses, and pictures from https addresses. Everything else of HTML is dropped: scripts and styles with what they
hold, other tags but not their text, comments. Text without HTML comes back unchanged. Whoever shows a description still
cleans it (the contract says so); this is the first of two locks.

The work is nh3's, which parses as browsers do; it lets the interpreter go on meanwhile.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import nh3

from marketd.catalog.markup import is_simple, simplified

_KEPT = """
p br hr ul ol li b strong i em u s small sub sup h1 h2 h3 h4 h5 h6 blockquote pre code span div
table caption thead tbody tfoot tr td th dl dt dd a img
"""
_GONE_WITH_CONTENT = """
script style iframe object embed applet template noscript noembed noframes svg math title textarea select
"""
_TEXT_TAGS = frozenset(_KEPT.split())
_DROPPED_WHOLE = frozenset(_GONE_WITH_CONTENT.split())
_ATTRIBUTES = {
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "ol": {"start"},
}
_SCHEME = re.compile(r"(?:https?://|mailto:|tel:)\S", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,4}%?", re.ASCII)
_RELATION = ' rel="nofollow noopener"'
# Our own output: values stand in double quotes, and none holds a quote, `<` or `>`.
_SOURCELESS = re.compile(r'<img(?: (?!src=)[a-z]+="[^"]*")*>')
_TURNED = re.compile(r'<a rel="nofollow noopener" href="([^"]*)">')
_MISSED = re.compile(r"<(iframe|video|audio|embed|object|form)\b", re.IGNORECASE)
_LINKED = re.compile(r"<a\s[^<>]*?\bhref\s*=", re.IGNORECASE)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_NAMES = {"iframe": "an embedded page or video", "embed": "an embedded object", "object": "an embedded object"}


@dataclass(frozen=True, slots=True)
class Cleaned:
    """HTML that is safe to show. dropped: what of the original a person would miss, in words, each once."""

    text: str
    dropped: tuple[str, ...] = ()


def _attribute(tag: str, name: str, value: str) -> str | None:
    """The attribute's value as it is kept; None drops it. Addresses without a host belong to the shop that is left."""
    value = value.strip()
    if name in ("href", "src"):
        if value.startswith("//"):
            value = f"https:{value}"
        if tag == "img" and value[:7].lower() == "http://":
            value = f"https://{value[7:]}"  # as browsers do on a safe page
        return value if _SCHEME.match(value) and (tag == "a" or value[:8].lower() == "https://") else None
    if name in ("alt", "rel"):
        return value
    return value if _NUMBER.fullmatch(value) else None


_CLEANER = nh3.Cleaner(
    tags=set(_TEXT_TAGS),
    clean_content_tags=set(_DROPPED_WHOLE),
    attributes=_ATTRIBUTES,
    attribute_filter=_attribute,
    url_schemes={"http", "https", "mailto", "tel"},
    url_relative="pass_through",
    link_rel="nofollow noopener",
)


def safe_html(text: str) -> str:
    """The text with only harmless HTML left in it; the same again when it is cleaned twice."""
    return clean_html(text).text


def clean_html(text: str) -> Cleaned:
    """See safe_html; tells also what was dropped."""
    if "<" not in text:
        return Cleaned(text)
    original, is_whole = text, True
    if not is_simple(text):
        text, is_whole = simplified(text, _TEXT_TAGS, _DROPPED_WHOLE, _ATTRIBUTES)
    cleaned, pictures = _once(text)
    tags = [(end, name.lower()) for end, name in _TAG.findall(text)]
    names = {name for _, name in tags}
    open_headings = sum(-1 if end else 1 for end, name in tags if name in _HEADINGS)
    if text is not original or "table" in names or open_headings or not names <= _TEXT_TAGS:
        # What stood in a tag that is gone may not stand where it now does, and would move when it is read again; so may
        # what a parser has put before the table that it stood in, or into a heading that was never closed.
        cleaned, _ = _once(cleaned)
    dropped = dict.fromkeys(
        _NAMES.get(found.lower(), f"a {found.lower()}" if found.lower() != "audio" else "an audio")
        for found in _MISSED.findall(original)
    )
    if not is_whole:
        dropped["markup that is nested too deep"] = None
    if pictures:
        dropped["a picture that has no https address"] = None
    if "<a" in cleaned and len(_LINKED.findall(original)) > cleaned.count("<a href="):
        dropped["a link that leads nowhere without the shop it came from"] = None
    return Cleaned(cleaned, tuple(dropped))


def _once(text: str) -> tuple[str, int]:
    """Cleaned once, and how many pictures went away."""
    cleaned = _CLEANER.clean(text)
    pictures = 0
    if "<a" in cleaned:
        cleaned = _TURNED.sub(r'<a href="\1" rel="nofollow noopener">', cleaned.replace(f"<a{_RELATION}>", "<a>"))
    if "<img" in cleaned:
        cleaned, pictures = _SOURCELESS.subn("", cleaned)
    if "<pre>\n" in cleaned:
        # Parsers leave out one line break there, and would leave out the next when they see it again.
        cleaned = cleaned.replace("<pre>\n", "<pre>\n\n")
    return cleaned, pictures
