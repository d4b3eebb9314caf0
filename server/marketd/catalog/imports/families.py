"""Which rows of a WooCommerce file are one product. Pure.

The file has a row for each product and one for each of its variations, which name their parent by its SKU, or as
`id:12` where it has none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from marketd.catalog.imports.keys import handle_key, title_handle

# Variations follow their parent, mostly at once; a file of any length must not fill the memory.
_REMEMBERED = 20_000


class Families:
    """The key of each row: the SKU of its product, else its id, else what its name makes.

    Where two products have one SKU, the second goes by its id.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._at = {column: place for place, column in enumerate(columns)}
        self._keys: OrderedDict[str, str] = OrderedDict()
        self._owners: OrderedDict[str, str] = OrderedDict()

    def problem(self, key: str) -> str:
        """The product of a row that cannot be read: not known, for its cells may stand anywhere."""
        return ""

    def __call__(self, cells: tuple[str, ...]) -> str:
        parent = cells[self._at["Parent"]]
        kind = cells[self._at["Type"]].casefold()
        if parent and kind.startswith("variation"):
            named = handle_key(parent)
            return self._keys.get(named, named)
        sku, number = handle_key(cells[self._at["SKU"]]), handle_key(cells[self._at["ID"]])
        if not number:
            return sku or title_handle(cells[self._at["Name"]])
        by_id = f"id:{number}"
        if not sku or self._remember(self._owners, sku, by_id) != by_id:
            return by_id
        if kind.startswith("variable"):
            self._remember(self._keys, by_id, sku)
        return sku

    @staticmethod
    def _remember(known: OrderedDict[str, str], name: str, value: str) -> str:
        """What the name stands for: the value, unless it stood for another before."""
        found = known.setdefault(name, value)
        if len(known) > _REMEMBERED:
            known.popitem(last=False)
        return found
