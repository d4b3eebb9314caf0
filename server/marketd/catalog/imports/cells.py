"""The cells of an import file as values: amounts, counts, flags, addresses. Each refuses what it cannot be. Pure."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

from marketd.catalog.imports.numbers import decimal_text, shown
from marketd.catalog.imports.parsed import BadCell, RowReason
from marketd.inventory.model import MAX_QUANTITY
from marketd.kernel.values.money import MAX_UNITS, minor_digits
from marketd.kernel.values.texts import mended_text

MAX_GRAMS = 10_000_000
MAX_ADDRESS = 2048
MAX_ADDRESSES = 1000
MAX_TAGS = 250
MAX_TAG = 255

_PLAIN = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,2})?", re.ASCII)
_POSITION = re.compile(r"([0-9]{1,6})(?:\.0*)?", re.ASCII)
_WEB_ADDRESS = re.compile(r"https://[^\s/]\S*", re.IGNORECASE)
_BETWEEN_ADDRESSES = re.compile(r"[\s,;|](?=https?://)", re.IGNORECASE)
_SIGNS = ("=", "+", "-", "@")
_AROUND = " \t\r\n,;|"
_TRUE = frozenset({"true", "yes", "y", "t", "1", "on", "x", "wahr", "ja", "vrai", "oui", "verdadero", "si", "sí"})
_FALSE = frozenset({"false", "no", "n", "f", "0", "off", "falsch", "nein", "faux", "non", "falso"})


def amount(text: str, currency: str, decimal_comma: bool | None = None) -> int:
    """A price in minor units, 0 to 100,000,000 of the currency.

    Any number of decimals, as long as those beyond the currency's are zeros, or what arithmetic left there.
    """
    digits = minor_digits(currency)
    if digits == 2 and _PLAIN.fullmatch(text):
        whole, _, rest = text.partition(".")
        minor = int(whole) * 100 + int(rest.ljust(2, "0") or 0)
    else:
        exact = Decimal(decimal_text(text, decimal_comma, currency)).scaleb(digits)
        minor = int(exact.to_integral_value(ROUND_HALF_UP))
        if abs(exact - minor) > Decimal("0.0001"):
            message = f"{shown(text)} has more than the {digits} decimals of {currency}"
            raise BadCell(RowReason.INVALID_VALUE, message, minor if 0 <= minor <= MAX_UNITS * 10**digits else None)
    if minor < 0:
        raise BadCell(RowReason.OUT_OF_RANGE, "a price cannot be negative")
    if minor > MAX_UNITS * 10**digits:
        raise BadCell(RowReason.OUT_OF_RANGE, f"a price is at most {MAX_UNITS}")
    return minor


def rounded_amount(text: str, currency: str, decimal_comma: bool | None = None) -> int:
    """A price to compare with, in minor units: as amount, and one with more decimals is taken rounded."""
    try:
        return amount(text, currency, decimal_comma)
    except BadCell as bad:
        if not isinstance(bad.instead, int):
            raise
        said = f"{bad.message} and is rounded"
        raise BadCell(bad.reason, said, bad.instead) from None


def quantity(text: str) -> int:
    """A number of pieces from 0; `12` and `12.0` are the same."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    exact = Decimal(decimal_text(text, None))
    number = int(exact)
    if number < 0 or exact < 0:
        raise BadCell(RowReason.NEGATIVE_QUANTITY, f"{shown(text)} is below 0 and counts as 0", 0)
    if number > MAX_QUANTITY:
        raise BadCell(RowReason.OUT_OF_RANGE, f"{shown(text)} is more than {MAX_QUANTITY}", MAX_QUANTITY)
    if number != exact:
        raise BadCell(RowReason.INVALID_VALUE, f"{shown(text)} is no whole number and counts as {number}", number)
    return number


def position(text: str) -> int:
    """The place of a picture from 1; 0 when it says none."""
    found = _POSITION.fullmatch(text)
    return int(found.group(1)) if found is not None else 0


def grams(text: str, per_unit: Decimal = Decimal(1), decimal_comma: bool | None = None) -> int | None:
    """A weight in whole grams, rounded half up; None, not known, for an empty cell and for 0, which shops write then.

    per_unit: how many grams the file's unit has.
    """
    if not text or text == "0":
        return None
    weight = Decimal(decimal_text(text, decimal_comma)) * per_unit
    if not 0 <= weight <= MAX_GRAMS:
        raise BadCell(RowReason.OUT_OF_RANGE, f"a weight is between 0 and {MAX_GRAMS} grams, and {shown(text)} is not")
    return int(weight.to_integral_value(ROUND_HALF_UP)) or None


def flag(text: str) -> bool:
    """true or false, as spreadsheets in some languages write it."""
    word = text.casefold()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise BadCell(RowReason.INVALID_VALUE, f"{shown(text)} is not true or false")


def addresses(text: str) -> list[str]:
    """The parts of a cell that some tools fill with several addresses; what is left of a thousand is the last."""
    return _BETWEEN_ADDRESSES.split(text, MAX_ADDRESSES)


def is_flag(text: str) -> bool:
    """Whether it is true or false, whichever."""
    return text.casefold() in _TRUE | _FALSE


def address(text: str) -> str:
    """An https address of at most 2,048 characters. One without its scheme, and blanks in it, are mended."""
    text = text.strip(_AROUND)
    if text.startswith("//"):
        text = f"https:{text}"
    if " " in text:
        text = text.replace(" ", "%20")
    if len(text) > MAX_ADDRESS:
        raise BadCell(RowReason.TOO_LONG, f"the address has {len(text)} characters and may have {MAX_ADDRESS}")
    if _WEB_ADDRESS.fullmatch(text) is None or mended_text(text) != text:
        if text[:7].lower() == "http://":
            secure = f"https://{text[7:]}"
            if _WEB_ADDRESS.fullmatch(secure):
                raise BadCell(RowReason.INVALID_VALUE, f"{shown(text)} is taken as {shown(secure)}", secure)
        raise BadCell(RowReason.INVALID_VALUE, f"{shown(text)} is not an address that begins with https://")
    return text


def line(text: str) -> str:
    """A text of one line."""
    if text.isascii() and text.isprintable():
        return text
    mended = mended_text(text).strip()
    if mended != text:
        raise BadCell(RowReason.TEXT_CLEANED, "characters that no text may hold are taken out", mended)
    return text


def without_apostrophe(text: str) -> str:
    """The text without the one apostrophe that spreadsheets put before numbers to keep them as they are.

    Exports put one more before a text that begins with apostrophes and a digit, so that it comes back as it was.
    """
    return text[1:] if text.startswith("'") and text.lstrip("'")[:1].isdigit() else text


def unguarded(text: str) -> str:
    """The text without the apostrophe that WooCommerce puts before signs, so that spreadsheets do not calculate."""
    return text[1:] if text[:1] == "'" and text[1:2] in _SIGNS else text
