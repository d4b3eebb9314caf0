"""Which variant of a shop a variant of a file is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from marketd.catalog.imports.parsed import ParsedProduct
from marketd.catalog.names import Options, options_key
from marketd.catalog.values import VariantSpec
from marketd.kernel.values.texts import name_key

_Values = tuple[str, ...]


def matched(parsed: ParsedProduct, variants: Sequence[VariantSpec]) -> list[VariantSpec | None]:
    """For each variant of the file the one of the product that it is, else None: it is new.

    The same options; else the same values in order under other names, because the option was renamed; else the same
    SKU, because a value was.
    """
    free = {spec.options_key: spec for spec in variants}
    found = [free.pop(options_key(variant.options), None) for variant in parsed.variants]
    if free and None in found:
        names = _names(parsed.variants[0].options)
        renamed: dict[_Values, VariantSpec] = {}
        for spec in free.values():
            if spec.options and _names(spec.options) != names:
                renamed.setdefault(_values(spec.options), spec)
        for place, variant in enumerate(parsed.variants):
            if found[place] is None and variant.options:
                found[place] = renamed.pop(_values(variant.options), None)
        taken = {spec.variant_id for spec in found if spec is not None}
        by_sku = {spec.sku_key: spec for spec in free.values() if spec.sku_key and spec.variant_id not in taken}
        for place, variant in enumerate(parsed.variants):
            if found[place] is None and variant.sku:
                found[place] = by_sku.pop(name_key(variant.sku), None)
    return found


def _names(options: Options) -> _Values:
    return tuple(name_key(name) for name, _ in options)


def _values(options: Options) -> _Values:
    return tuple(name_key(value) for _, value in options)
