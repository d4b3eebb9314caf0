"""Numbers as people and spreadsheets write them: which mark parts the decimals, where that can be told. Pure."""

from __future__ import annotations

import re

from marketd.catalog.imports.parsed import BadCell, RowReason
from marketd.kernel.values.money import minor_digits

_MOST = 60
_PLAIN = re.compile(r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]*)?|\.[0-9]+)", re.ASCII)
_BLANK_GROUPS = re.compile(r"[+-]?[0-9]{1,3}(?:[ '\u2019\u00a0\u202f\u2009][0-9]{3})+(?![0-9])", re.ASCII)
_GROUPS = {mark: re.compile(rf"[+-]?[1-9][0-9]{{0,2}}(?:\{mark}[0-9]{{3}})+", re.ASCII) for mark in ",."}
_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹", "PLN": "zł", "CZK": "Kč", "CAD": "$", "AUD": "$"}
# Two digits behind a mark are decimals; three may be thousands. A 0 before the mark makes them decimals as well.
_SURE_DOT = re.compile(r"[+-]?[0-9,]*\.(?:[0-9]{1,2}|[0-9]{4,})", re.ASCII)
_SURE_COMMA = re.compile(r"[+-]?[0-9.]*,(?:[0-9]{1,2}|[0-9]{4,})", re.ASCII)


def decimal_text(text: str, decimal_comma: bool | None, currency: str = "") -> str:
    """The number with a dot before its decimals and nothing between its thousands.

    decimal_comma: how the file writes its numbers, None when that is not known. currency: that of a price, whose name
    or sign may stand beside it. Raises BadCell for what is no number, or could be two.
    """
    if _PLAIN.fullmatch(text) and not (decimal_comma and _GROUPS["."].fullmatch(text)):
        return text
    if len(text) > _MOST:
        raise BadCell(RowReason.INVALID_VALUE, f"{shown(text)} is not a number")
    number = text.replace("\u2212", "-")
    for sign in (currency, _SIGNS.get(currency, "")):
        if sign:
            number = number.removeprefix(sign).removesuffix(sign).strip()
    grouped = _BLANK_GROUPS.match(number)
    if grouped is not None:
        number = re.sub(r"[^0-9+\-]", "", grouped.group()) + number[grouped.end() :]
    if "," in number or number.count(".") > 1 or decimal_comma:
        whole_only = bool(currency) and minor_digits(currency) == 0
        number = _with_dot(number, text, False if whole_only else decimal_comma)
    if _PLAIN.fullmatch(number) is None:
        raise BadCell(RowReason.INVALID_VALUE, f"{shown(text)} is not a number such as 12 or 49.90")
    return number


def _with_dot(number: str, text: str, decimal_comma: bool | None) -> str:
    if "," in number and "." in number:
        decimal, group = (",", ".") if number.rfind(",") > number.rfind(".") else (".", ",")
        whole, _, rest = number.rpartition(decimal)
        if _GROUPS[group].fullmatch(whole) is None:
            return number
        return f"{whole.replace(group, '')}.{rest}"
    mark = "," if "," in number else "."
    grouped = _GROUPS[mark].fullmatch(number) is not None
    if number.count(mark) > 1:
        return number.replace(mark, "") if grouped else number
    if mark == ".":
        return number.replace(mark, "") if grouped and decimal_comma else number
    if grouped and decimal_comma is None:
        whole, _, rest = number.partition(",")
        raise BadCell(
            RowReason.INVALID_VALUE,
            f"{shown(text)} may be {whole}{rest} or {whole}.{rest}; write it in one of these ways",
        )
    return number.replace(mark, "") if grouped and not decimal_comma else number.replace(mark, ".")


def writes_decimal_comma(text: str) -> bool | None:
    """Whether a number is surely written with a comma before its decimals; None when it does not tell."""
    if "," in text and _SURE_COMMA.fullmatch(text):
        return True
    return False if "." in text and _SURE_DOT.fullmatch(text) else None


def shown(text: str) -> str:
    """A cell's text in quotes, no longer than a message can hold."""
    return f"'{text[:40]}…'" if len(text) > 40 else f"'{text}'"
