"""`order_by` of lists: a documented name, and `desc` behind it for the other way round (AIP-132)."""

from __future__ import annotations

from collections.abc import Sequence

from marketd.kernel.call.refusals import FieldViolation, ValidationFailed


def parse_order(text: str, names: Sequence[str], default: str) -> tuple[str, bool]:
    """The name to sort by and whether it is descending; an empty text means `default`, which is written the same way.

    names: what this list can be sorted by. Raises ValidationFailed at `order_by`, which says what there is. Every list
    here is sorted by one name; what makes its order whole, an id, is the list's own.
    """
    name, *way = (text if text.strip() else default).split()
    if name not in names or way not in ([], ["asc"], ["desc"]):
        known = ", ".join(names)
        raise ValidationFailed(FieldViolation("order_by", f"must be one of {known}, alone or with ` desc` behind it"))
    return name, way == ["desc"]
