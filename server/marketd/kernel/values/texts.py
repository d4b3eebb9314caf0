"""Texts that people write: what none may hold, when two of them are the same, and how an address spells them."""

from __future__ import annotations

import re
import unicodedata

from anyascii import anyascii

LINE_BREAKS = "\n\r\t\u2028\u2029"
"""What breaks or indents lines; texts of more than one line may hold it."""

# Overrides and isolates make a text read otherwise than it is stored: "exe.gnp" shown as "png.exe".
_BAD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_BAD_IN_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_BREAKS = re.compile(r"[\x09-\x0d\x85\u2028\u2029]+")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")
# What Unicode has displays pass over (Default_Ignorable_Code_Point): joiners, fillers, selectors, tags.
_UNSEEN = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    r"\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_NOT_SEEN = re.compile(f"[{_UNSEEN}]+")
# Whatever leaves a mark; the rest is space (an empty Braille cell is drawn as one), or not seen.
_VISIBLE = re.compile(rf"[^\s\u2800{_UNSEEN}]")


def text_problem(text: str, *, lines: bool = False) -> str:
    """What is wrong with a text that is not empty; "" when nothing is. lines: it may have more than one.

    Nearly every text is printable and begins with what is seen, so it passes at the speed of C. Printable alone says
    little: fillers and selectors count as that.
    """
    if text.isprintable() and _VISIBLE.search(text):
        return ""
    found = (_BAD_IN_LINES if lines else _BAD).search(text)
    if found is not None:
        return _said(found.group())
    return "" if _VISIBLE.search(text) else "must not be blank"


def mended_text(text: str, *, lines: bool = False) -> str:
    """The text without what `text_problem` would name: line breaks become blanks (lines: stay), the rest goes away.

    Empty when nothing in it is seen.
    """
    if text.isprintable():
        return text if _VISIBLE.search(text) else ""
    if not lines:
        text = _BREAKS.sub(" ", text)
    text = (_BAD_IN_LINES if lines else _BAD).sub("", text)
    return text if _VISIBLE.search(text) else ""


def _said(char: str) -> str:
    if char in LINE_BREAKS:
        return "must not contain a tab" if char == "\t" else "must be a single line"
    if unicodedata.category(char) == "Cc":
        return f"must not contain control characters such as U+{ord(char):04X}"
    return f"must not contain U+{ord(char):04X}, which turns the direction of text"


def name_key(text: str) -> str:
    """Equal for texts that differ only in case, in how accents are encoded, in spaces or in what nobody sees.

    Unique names are so by this: a joiner inside must not make a second brand that reads like the first.
    NFC and not NFKC, whose longest expansions would be too long for an index. Folding can take a composed letter apart,
    so it is composed once more.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFC", _NOT_SEEN.sub("", text)).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def slug_of(text: str, most: int) -> str:
    """The text in lower-case Latin letters and digits, words with single hyphens between them, at most `most` long.

    Every script is transliterated letter by letter (`Fıstık` fistik, `Đakovo` dakovo, `東京` dongjing). Empty when the
    text has neither letters nor digits.
    """
    latin = anyascii(unicodedata.normalize("NFC", text)).lower()
    return _NOT_SLUG.sub("-", latin.replace("'", ""))[:most].strip("-")
