"""Which row of a file has a SKU: of several that stand in it, the first keeps it."""

from __future__ import annotations

from typing import Protocol


class Claims(Protocol):
    """The SKUs of a file that are taken."""

    def claim(self, sku_key: str, handle: str, row: int) -> int | None:
        """Take the SKU for this row; gives the row that has it already, or None when it was free."""


class ClaimsInMemory:
    """Claims of a file that is small enough to remember."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    def claim(self, sku_key: str, handle: str, row: int) -> int | None:
        """See Claims."""
        held = self._rows.setdefault(sku_key, row)
        return None if held == row else held
