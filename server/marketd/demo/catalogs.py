"""What a Shopify CSV says, read here a second time and on its own, so that an import can be checked against it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

from marketd.demo.records import CheckFailed

_DEFAULT_OPTION = ("Title", "Default Title")
_OPTIONS = (1, 2, 3)
_ON_SALE = ("", "active")

Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class VariantFacts:
    """A variant as the file or the server tells it; prices in minor units."""

    options: Options
    sku: str
    price_minor: int
    compare_at_minor: int | None
    quantity: int


@dataclass(frozen=True)
class ProductFacts:
    """A product as the file or the server tells it. Names of brand and category are compared without case."""

    title: str
    brand: str
    category: str
    tags: frozenset[str]
    is_published: bool
    option_names: tuple[str, ...]
    image_count: int
    variants: tuple[VariantFacts, ...]


@dataclass
class _Draft:
    """A product while its rows are read."""

    first: Mapping[str, str]
    option_names: tuple[str, ...]
    variants: list[VariantFacts] = field(default_factory=list)
    images: set[str] = field(default_factory=set)


def read_products(content: bytes) -> dict[str, ProductFacts]:
    """The products of a Shopify CSV by their handle. Raises CheckFailed when the file is not one."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CheckFailed("--products: the file is not UTF-8") from None
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if "Handle" not in (rows.fieldnames or ()):
        raise CheckFailed("--products: the file has no column Handle; it should be a Shopify product export")
    drafts: dict[str, _Draft] = {}
    skus: set[str] = set()
    for row in rows:
        cells = {name: (value or "").strip() for name, value in row.items() if name and isinstance(value, str)}
        handle = cells.get("Handle", "")
        if not handle:
            continue
        draft = drafts.get(handle)
        if draft is None:
            names = (cells.get(f"Option{number} Name", "") for number in _OPTIONS)
            draft = drafts[handle] = _Draft(cells, tuple(name for name in names if name))
        _add_row(draft, cells, skus)
    return {handle: _facts(draft) for handle, draft in drafts.items()}


def read_file(path: Path) -> bytes:
    """The bytes of the products file. Raises CheckFailed."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckFailed(f"--products {path} cannot be read: {error.strerror}") from error


def _add_row(draft: _Draft, cells: Mapping[str, str], skus: set[str]) -> None:
    if cells.get("Image Src"):
        draft.images.add(cells["Image Src"])
    values = [cells.get(f"Option{number} Value", "") for number in _OPTIONS]
    if not (any(values) or cells.get("Variant Price") or cells.get("Variant SKU")):
        return  # a row that only carries one more picture
    price, former = _minor(cells.get("Variant Price", "")) or 0, _minor(cells.get("Variant Compare At Price", ""))
    # Of several variants with one SKU the first has it.
    sku = "" if cells.get("Variant SKU", "").casefold() in skus else cells.get("Variant SKU", "")
    skus.add(sku.casefold())
    pairs = tuple((name, value) for name, value in zip(draft.option_names, values, strict=False) if value)
    draft.variants.append(
        VariantFacts(
            options=() if pairs == (_DEFAULT_OPTION,) else tuple(sorted(pairs)),
            sku=sku,
            price_minor=price,
            # One that is not above the price is left out with a warning.
            compare_at_minor=former if former is not None and former > price else None,
            quantity=max(0, _whole(cells.get("Variant Inventory Qty", ""))),
        )
    )


def _facts(draft: _Draft) -> ProductFacts:
    chosen = any(variant.options for variant in draft.variants)
    first = draft.first
    return ProductFacts(
        title=first.get("Title", ""),
        brand=first.get("Vendor", "").casefold(),
        category=first.get("Type", "").casefold(),
        tags=frozenset(tag.strip() for tag in first.get("Tags", "").split(",") if tag.strip()),
        is_published=first.get("Published", "").lower() != "false" and first.get("Status", "").lower() in _ON_SALE,
        option_names=draft.option_names if chosen else (),
        image_count=len(draft.images),
        variants=tuple(sorted(draft.variants, key=lambda variant: variant.options)),
    )


def _minor(text: str) -> int | None:
    try:
        return int((Decimal(text) * 100).to_integral_exact()) if text else None
    except (InvalidOperation, ValueError, OverflowError):
        return None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0


def differences(expected: Mapping[str, ProductFacts], found: Sequence[ProductFacts]) -> list[str]:
    """What the server's products lack of the file's, in sentences; empty when everything is in.

    Products are matched by title, and those of one title by how much they have in common, because a slug may carry a
    suffix that makes it unique in the marketplace.
    """
    problems: list[str] = []
    left = list(found)
    for handle, product in expected.items():
        same = [each for each in left if each.title == product.title]
        if not same:
            problems.append(f"{handle}: the product is missing")
            continue
        best = min(same, key=lambda each: len(list(_lacks(product, each))))
        left.remove(best)
        problems.extend(f"{handle}: {lack}" for lack in _lacks(product, best))
    problems.extend(f"{each.title!r} is there but not in the file" for each in left)
    return problems


def _lacks(expected: ProductFacts, found: ProductFacts) -> Iterable[str]:
    for name in ("brand", "category", "is_published", "option_names"):
        wanted, got = getattr(expected, name), getattr(found, name)
        if wanted != got:
            yield f"{name} is {got!r} instead of {wanted!r}"
    if expected.tags != found.tags:
        yield f"tags are {sorted(found.tags)} instead of {sorted(expected.tags)}"
    if found.image_count < expected.image_count:
        yield f"{found.image_count} pictures instead of {expected.image_count}"
    wanted_variants, got_variants = Counter(expected.variants), Counter(found.variants)
    for variant in (wanted_variants - got_variants).elements():
        yield f"variant {variant} is missing"
    for variant in (got_variants - wanted_variants).elements():
        yield f"variant {variant} is not in the file"
