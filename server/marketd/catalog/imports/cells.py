"""The cells of an import file as values: amounts, counts, flags, addresses. Each refuses what it cannot be. Pure."""

from __future__ import annotations

import re

from marketd.catalog.imports.parsed import RowReason
from marketd.inventory.model import MAX_QUANTITY
from marketd.kernel.values.money import MAX_UNITS, minor_digits, parse_decimal
from marketd.kernel.values.texts import text_problem

MAX_GRAMS = 10_000_000

_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{0,6})?", re.ASCII)
_WEB_ADDRESS = re.compile(r"https://[^\s/]\S*", re.IGNORECASE)
_FLAGS = {"": True, "true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_STATUSES = {"": True, "active": True, "unlisted": False, "draft": False, "archived": False}


class BadCell(Exception):
    """A cell that does not fit its column."""

    def __init__(self, reason: RowReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def amount(text: str, currency: str) -> int:
    """A price in minor units, 0 to 100,000,000 of the currency; plain decimals only, so `1e9` and `NaN` are none."""
    if _DECIMAL.fullmatch(text) is None:
        raise BadCell(RowReason.INVALID_VALUE, f"{_shown(text)} is not a price such as 49.90")
    if text.startswith("-"):
        raise BadCell(RowReason.OUT_OF_RANGE, "a price cannot be negative")
    try:
        minor = parse_decimal(text.rstrip("."), currency).amount_minor
    except ValueError as error:
        raise BadCell(RowReason.INVALID_VALUE, f"{_shown(text)}: {error}") from error
    if minor > MAX_UNITS * 10 ** minor_digits(currency):
        raise BadCell(RowReason.OUT_OF_RANGE, f"a price is at most {MAX_UNITS}")
    return minor


def count(text: str, most: int = MAX_QUANTITY) -> int:
    """A whole number from 0; `12` and `12.0` are the same."""
    if _DECIMAL.fullmatch(text) is None:
        raise BadCell(RowReason.INVALID_VALUE, f"{_shown(text)} is not a number")
    whole, _, rest = text.partition(".")
    if rest.strip("0"):
        raise BadCell(RowReason.INVALID_VALUE, f"{_shown(text)} is not a whole number")
    number = int(whole)
    if not 0 <= number <= most:
        raise BadCell(RowReason.OUT_OF_RANGE, f"{_shown(text)} is not between 0 and {most}")
    return number


def grams(text: str) -> int | None:
    """A weight in whole grams, rounded; None, not known, for an empty cell and for 0, which Shopify writes then."""
    if not text:
        return None
    if _DECIMAL.fullmatch(text) is None:
        raise BadCell(RowReason.INVALID_VALUE, f"{_shown(text)} is not a weight in grams")
    if text.startswith("-") or float(text) > MAX_GRAMS:
        raise BadCell(RowReason.OUT_OF_RANGE, f"a weight is between 0 and {MAX_GRAMS} grams")
    return round(float(text)) or None


def flag(text: str) -> bool:
    """true or false; empty is true."""
    return _one_of(_FLAGS, text, "true or false")


def status(text: str) -> bool:
    """Whether the Status column lets the product be published."""
    return _one_of(_STATUSES, text, "active, draft, archived or unlisted")


def address(text: str) -> str:
    """An https address of at most 2,048 characters."""
    if _WEB_ADDRESS.fullmatch(text) is None:
        raise BadCell(RowReason.INVALID_VALUE, f"{_shown(text)} is not an address that begins with https://")
    return short(text, 2048)


def short(text: str, most: int, *, lines: bool = False) -> str:
    """A text of at most `most` characters that a request could hold too; of one line, unless told otherwise."""
    if len(text) > most:
        raise BadCell(RowReason.TOO_LONG, f"has {len(text)} characters and may have {most}")
    problem = text_problem(text, lines=lines) if text else ""
    if problem:
        raise BadCell(RowReason.INVALID_VALUE, problem)
    return text


def tags(text: str) -> tuple[str, ...]:
    """The words of a list with commas: each once, in order of the alphabet, at most 250."""
    words = sorted({word.strip() for word in text.split(",")} - {""})
    if len(words) > 250:
        raise BadCell(RowReason.TOO_LONG, f"there are {len(words)} tags and may be 250")
    return tuple(short(word, 255) for word in words)


def without_apostrophe(text: str) -> str:
    """The text without the one apostrophe that spreadsheets put before numbers to keep them as they are."""
    return text[1:] if text.startswith("'") and text[1:2].isdigit() else text


def _one_of(known: dict[str, bool], text: str, expected: str) -> bool:
    value = known.get(text.casefold())
    if value is None:
        raise BadCell(RowReason.INVALID_VALUE, f"{_shown(text)} is not {expected}")
    return value


def _shown(text: str) -> str:
    return f"'{text[:40]}…'" if len(text) > 40 else f"'{text}'"
