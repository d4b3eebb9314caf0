"""What holds of a product's variants, wherever they come from. Pure; refusals name the field under `field`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from marketd.catalog.names import Options, options_key
from marketd.catalog.values import NewVariant, VariantSpec
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money
from marketd.kernel.values.texts import name_key

NO_OPTIONS: Final = "the product has no options; to give it some, delete its variant and make all of them with options"


def first_option_names(listed: Sequence[str], variants: Sequence[NewVariant]) -> tuple[str, ...]:
    """The options of a new product in order, spelled as it or its first variant spells them; compared by their keys."""
    if not variants:
        _refuse_repeats(listed)
        return tuple(listed)
    names = tuple(listed) or tuple(sorted(variants[0].options))
    named = {name_key(name) for name in variants[0].options}
    for index, variant in enumerate(variants):
        if len(variant.options) != len(named) or {name_key(name) for name in variant.options} != named:
            raise ValidationFailed(
                FieldViolation(f"product.variants[{index}].options", "all variants must name the same options")
            )
    if len(names) != len(named) or {name_key(name) for name in names} != named:
        raise ValidationFailed(FieldViolation("product.option_names", "must be the options that the variants name"))
    if not named and len(variants) > 1:
        raise ValidationFailed(FieldViolation("product.variants[1].options", "several variants need options"))
    return names


def renamed_options(before: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """For each of the new names, in their order, the one that it was: itself, or the next that is there no more.

    Raises ValidationFailed when there are not as many as before, or two read the same.
    """
    if len(wanted) != len(before):
        problem = f"must be as many as the product has: {len(before)}; they can be renamed and put in another order"
        raise ValidationFailed(FieldViolation("product.option_names", problem))
    _refuse_repeats(wanted)
    own = {name_key(name): name for name in before}
    keys = {name_key(name) for name in wanted}
    gone = iter([name for name in before if name_key(name) not in keys])
    return {name: own[name_key(name)] if name_key(name) in own else next(gone) for name in wanted}


def with_options(spec: VariantSpec, names: Mapping[str, str]) -> VariantSpec:
    """The variant with the same values under the new names (by the former ones), in their order."""
    chosen = dict(spec.options)
    options = tuple((name, chosen[former]) for name, former in names.items())
    return replace(spec, options=options, options_key=options_key(options))


def new_variant(
    product_id: UUID, seller_id: UUID, names: Sequence[str], new: NewVariant, currency: str, position: int, field: str
) -> VariantSpec:
    """A variant to be made of a product with these options."""
    options = chosen(names, new.options, field)
    spec = VariantSpec(
        variant_id=new_id(),
        product_id=product_id,
        seller_id=seller_id,
        sku=new.sku,
        sku_key=name_key(new.sku),
        options=options,
        options_key=options_key(options),
        price_minor=_minor(new.price),
        compare_at_price_minor=_minor(new.compare_at_price),
        active=new.active,
        barcode=new.barcode,
        weight_grams=new.weight_grams,
        position=position,
        requires_shipping=new.requires_shipping,
    )
    _check_prices(spec, currency, field)
    return spec


def changed_variant(
    spec: VariantSpec, names: Sequence[str], paths: Collection[str], new: NewVariant, currency: str, field: str
) -> VariantSpec:
    """The variant with the new values of these fields: sku, options, price, compare_at_price, active, barcode,
    weight_grams and requires_shipping; its stock is not told here.
    """
    values: dict[str, object] = {
        "sku": new.sku,
        "price_minor": _minor(new.price),
        "compare_at_price_minor": _minor(new.compare_at_price),
        "active": new.active,
        "barcode": new.barcode,
        "weight_grams": new.weight_grams,
        "requires_shipping": new.requires_shipping,
    }
    taken = {name: value for name, value in values.items() if name.removesuffix("_minor") in paths}
    after: VariantSpec = replace(spec, **taken)  # type: ignore[arg-type]
    if "sku" in paths:
        after = replace(after, sku_key=name_key(new.sku))
    if "options" in paths:
        options = chosen(names, new.options, field)
        after = replace(after, options=options, options_key=options_key(options))
    _check_prices(after, currency, field)
    return after


def chosen(names: Sequence[str], options: Mapping[str, str], field: str) -> Options:
    """What is chosen, in the product's order and spelling."""
    given = {name_key(name): value for name, value in options.items()}
    if len(given) != len(options) or given.keys() != {name_key(name) for name in names}:
        problem = f"must name the options of the product: {', '.join(names)}" if names else NO_OPTIONS
        raise ValidationFailed(FieldViolation(f"{field}.options", problem))
    return tuple((name, given[name_key(name)]) for name in names)


def is_sellable(spec: VariantSpec) -> bool:
    """Whether it can be bought once its product is published."""
    return spec.active and spec.price_minor is not None


def shown_prices(variants: Iterable[VariantSpec]) -> tuple[int | None, int | None]:
    """The price that a product shows and the one crossed out beside it: those of the cheapest active variant, or of the
    cheapest of all when none is active; None when none has a price.
    """
    shown = min(
        (spec for spec in variants if spec.price_minor is not None),
        key=lambda spec: (not spec.active, spec.price_minor, spec.position),
        default=None,
    )
    return (None, None) if shown is None else (shown.price_minor, shown.compare_at_price_minor)


def _check_prices(spec: VariantSpec, currency: str, field: str) -> None:
    if spec.compare_at_price_minor is None:
        return
    if spec.price_minor is None:
        problem = "takes a price to be crossed out beside; or give none"
    elif spec.compare_at_price_minor <= spec.price_minor:
        price = Money(spec.price_minor, currency)
        problem = f"must be above the price of {price}, which it is crossed out beside; or give none"
    else:
        return
    raise ValidationFailed(FieldViolation(f"{field}.compare_at_price", problem))


def _refuse_repeats(names: Sequence[str]) -> None:
    if len({name_key(name) for name in names}) != len(names):
        raise ValidationFailed(FieldViolation("product.option_names", "two of them read the same"))


def _minor(amount: Money | None) -> int | None:
    return None if amount is None else amount.amount_minor
