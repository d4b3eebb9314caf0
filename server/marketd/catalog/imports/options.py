"""The options of a Shopify product: what its rows say of them, in the ways in which they say it. Pure.

The product's first row names the options; the rows below leave the names out, repeat them, or give them in another
order. "Title / Default Title" is Shopify's way to say that there is none.
"""

from __future__ import annotations

from collections.abc import Sequence

from marketd.catalog.imports.findings import Findings, Record
from marketd.catalog.imports.parsed import RowReason
from marketd.catalog.names import Options
from marketd.kernel.values.texts import name_key

PLACES = ("1", "2", "3")
VALUE_COLUMNS = tuple(f"Option{place} Value" for place in PLACES)
NAME_COLUMNS = tuple(f"Option{place} Name" for place in PLACES)
MAX_NAME = 255
MAX_VALUE = 255

_NO_OPTION = "default title"


class ProductOptions:
    """The options of one product. names: in order, those that it has."""

    def __init__(self, findings: Findings, first: Record, records: Sequence[Record]) -> None:
        self._findings = findings
        self._records = records
        holders = [self._holder(first, column) for column in NAME_COLUMNS]
        named = [
            findings.text(holder, column, MAX_NAME) if holder is not None else ""
            for holder, column in zip(holders, NAME_COLUMNS, strict=True)
        ]
        # As the rows name them, before anything is made of the names.
        self._keys = [
            name_key(holder[column]) if holder is not None else ""
            for holder, column in zip(holders, NAME_COLUMNS, strict=True)
        ]
        values = [[record[column] for record in records] for column in VALUE_COLUMNS]
        self._names = self._settled(first, named, values)
        self.names = tuple(name for name in self._names if name)

    def _holder(self, first: Record, column: str) -> Record | None:
        """The row that names the option of this column."""
        return first if first[column] else next((record for record in self._records if record[column]), None)

    def _settled(self, first: Record, named: list[str], values: list[list[str]]) -> tuple[str, str, str]:
        """The name at each place; empty where there is no option."""
        for at, name in enumerate(named):
            filled = [value for value in values[at] if value]
            column = VALUE_COLUMNS[at]
            is_title = not name or name_key(name) == "title"
            if all(_is_default(value, is_title=is_title) for value in filled):
                if filled or is_title:
                    named[at] = ""
                    continue
                self._findings.warn(
                    first, column, RowReason.MISSING_VALUE, f"no variant says its {name}, so it is no option"
                )
                named[at] = ""
            elif not name:
                named[at] = f"Option {PLACES[at]}"
                message = f"the option has no name and is called '{named[at]}'"
                self._findings.warn(first, NAME_COLUMNS[at], RowReason.MISSING_VALUE, message)
        for at, name in enumerate(named):
            twin = next((other for other in range(at) if name and name_key(named[other]) == name_key(name)), None)
            if twin is None:
                continue
            if all(one in ("", other) for one, other in zip(values[at], values[twin], strict=True)):
                named[at] = ""
                continue
            named[at] = f"{name[: MAX_NAME - 2]} {PLACES[at]}"
            message = f"two options have the same name; this one is called '{named[at]}'"
            self._findings.warn(first, NAME_COLUMNS[at], RowReason.INVALID_VALUE, message)
        return named[0], named[1], named[2]

    def of(self, record: Record) -> Options:
        """What this row chooses; pairs in the order of `names`."""
        if not self.names:
            return ()
        if not record.has(*VALUE_COLUMNS):
            message = f"the row has a price or a SKU and does not say which {' and '.join(self.names)} it is for"
            self._findings.fail(record, VALUE_COLUMNS[0], RowReason.MISSING_VALUE, message)
            return ()
        order = self._order(record)
        options: list[tuple[str, str]] = []
        for at, name in enumerate(self._names):
            if not name:
                continue
            column = VALUE_COLUMNS[order[at]]
            value = self._findings.clean(record, column)
            if len(value) > MAX_VALUE:
                message = f"has {len(value)} characters and may have {MAX_VALUE}"
                self._findings.fail(record, column, RowReason.TOO_LONG, message)
            elif value:
                options.append((name, value))
            else:
                message = f"the variant does not say its {name} and comes in without"
                self._findings.warn(record, column, RowReason.MISSING_VALUE, message)
        return tuple(options)

    def _order(self, record: Record) -> tuple[int, int, int]:
        """For each place of the product's options, where this row has it; rows may name them in another order."""
        stated = {at: name_key(name) for at, column in enumerate(NAME_COLUMNS) if (name := record[column])}
        wrong = {
            at: key
            for at, key in stated.items()
            if key != self._keys[at] and self._names[at] and record[VALUE_COLUMNS[at]]
        }
        if not wrong:
            return 0, 1, 2
        order = [0, 1, 2]
        for at, key in stated.items():
            if key in self._keys:
                order[self._keys.index(key)] = at
        if sorted(order) != [0, 1, 2] or any(key not in self._keys for key in wrong.values()):
            at = next(iter(wrong))
            message = f"the row calls the option '{record[NAME_COLUMNS[at]][:60]}', and the product '{self._names[at]}'"
            self._findings.fail(record, NAME_COLUMNS[at], RowReason.OPTION_MISMATCH, message)
        return order[0], order[1], order[2]


def _is_default(value: str, *, is_title: bool) -> bool:
    return not value or value.casefold() == _NO_OPTION or (is_title and value.casefold() == "default")
