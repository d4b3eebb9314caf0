"""The files of a search benchmark: products to search, and what people said of the answers.

Products: NDJSON, also as .gz, an object a line with `id`, `title`, `supplier`, `name` (the article number), `price` (in
minor units), `ean`, `short_description` and `attrs`. Judgments: CSV with the columns `query`, `product_id` and `rating`
(0 to 3).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from google.type.money_pb2 import Money
from marketplace.catalog.v1 import product_pb2

S = TypeVar("S")
T = TypeVar("T")

CURRENCY_DIGITS = 2
# What a product may hold by the contract.
_MOST_TITLE = 255
_MOST_ATTRIBUTES = 50
_MOST_NAME, _MOST_VALUE = 60, 255
_MOST_DESCRIPTION = 65536
_MOST_SKU, _MOST_BARCODE = 255, 64
_MOST_RATING = 3


class FileUnusable(Exception):
    """A file that cannot be measured with; the message names it, the line and what is wrong."""


@dataclass(frozen=True, slots=True)
class SearchProduct:
    """A product of the file. attributes: already as a product may have them."""

    key: str
    title: str
    brand: str
    sku: str
    price_minor: int
    barcode: str
    description: str
    attributes: Mapping[str, str]

    def message(self, currency: str, brand_id: str, stock: int) -> product_pb2.Product:
        """The product to make, with one variant."""
        units, rest = divmod(self.price_minor, 10**CURRENCY_DIGITS)
        nanos = rest * 10 ** (9 - CURRENCY_DIGITS)
        variant = product_pb2.Variant(
            sku=self.sku or None,
            price=Money(currency_code=currency, units=units, nanos=nanos),
            barcode=self.barcode or None,
            initial_quantity=stock,
        )
        return product_pb2.Product(
            title=self.title,
            description=self.description or None,
            brand_id=brand_id or None,
            attributes=self.attributes,
            variants=[variant],
        )


Judgments = Mapping[str, Mapping[str, int]]
"""By query, the rating of each product that was judged for it."""


def read_products(path: Path) -> list[SearchProduct]:
    """The products of the file, at least one. Raises FileUnusable."""
    found: dict[str, SearchProduct] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        product = _checked(path, number, _product, line)
        if product.key in found:
            raise FileUnusable(f"{path}, line {number}: there are two products with the id {product.key!r}")
        found[product.key] = product
    if not found:
        raise FileUnusable(f"{path} has no products")
    return list(found.values())


def read_judgments(path: Path, known: Sequence[SearchProduct]) -> Judgments:
    """The judgments of the file, at least one of a product that is good for anything. Raises FileUnusable."""
    keys = {product.key for product in known}
    found: dict[str, dict[str, int]] = {}
    reader = csv.DictReader(_lines(path))
    missing = {"query", "product_id", "rating"} - set(reader.fieldnames or ())
    if missing:
        raise FileUnusable(f"{path}, line 1: there is no column {', '.join(sorted(missing))}")
    for row in reader:
        line = reader.line_num
        query, key = (row["query"] or "").strip(), (row["product_id"] or "").strip()
        rating = _checked(path, line, _rating, row["rating"])
        if not query:
            raise FileUnusable(f"{path}, line {line}: there is no query")
        if key not in keys:
            raise FileUnusable(f"{path}, line {line}: there is no product {key!r} in the file of products")
        if found.setdefault(query, {}).setdefault(key, rating) != rating:
            raise FileUnusable(f"{path}, line {line}: {key!r} was judged otherwise for {query!r} before")
    if not any(rating for ratings in found.values() for rating in ratings.values()):
        raise FileUnusable(f"{path} calls no product good for any query, so nothing can be measured")
    return found


def _lines(path: Path) -> Iterator[str]:
    """The file's lines, unpacked when it is packed. Raises FileUnusable, also in the midst of them."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as opened, io.TextIOWrapper(opened, "utf-8") as text:
            yield from text
    except (OSError, EOFError) as error:
        raise FileUnusable(f"{path} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise FileUnusable(f"{path} is not in UTF-8") from None


def _checked(path: Path, line: int, read: Callable[[S], T], given: S) -> T:
    """What `read` makes of it. Raises FileUnusable with the line."""
    try:
        return read(given)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        said = f"there is no {error}" if isinstance(error, KeyError) else error
        raise FileUnusable(f"{path}, line {line}: {said}") from None


def _rating(text: str | None) -> int:
    if text is None or text.strip() not in {str(rating) for rating in range(_MOST_RATING + 1)}:
        raise ValueError(f"the rating is {text!r} and must be 0 to {_MOST_RATING}")
    return int(text)


def _product(line: str) -> SearchProduct:
    try:
        given = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error}") from None
    if not isinstance(given, dict):
        raise TypeError("must be a JSON object")
    price = given["price"]
    if not isinstance(price, int) or isinstance(price, bool) or price < 0:
        raise TypeError(f"the price is {price!r} and must be a whole number of minor units")
    title = _text(given["title"], _MOST_TITLE)
    if not title:
        raise ValueError("the title is empty")
    codes = given.get("ean") or [""]
    return SearchProduct(
        key=str(given["id"]),
        title=title,
        brand=_text(given.get("supplier") or "", _MOST_NAME),
        sku=_text(given.get("name") or "", _MOST_SKU),
        price_minor=price,
        barcode=_text(codes[0] if isinstance(codes, list) else codes, _MOST_BARCODE),
        description=_text(given.get("short_description") or "", _MOST_DESCRIPTION),
        attributes=_attributes(given.get("attrs") or {}),
    )


def _attributes(given: Mapping[str, object]) -> dict[str, str]:
    """As many as a product may have. A name is `t_`, `n_` or `b_` for its type, and words with underscores."""
    found: dict[str, str] = {}
    for name, value in given.items():
        words = name[2:] if name[1:2] == "_" else name
        label = _text(words.replace("_", " ").strip().capitalize(), _MOST_NAME)
        said = ("Yes" if value else "No") if isinstance(value, bool) else str(value)
        if isinstance(value, float) and value.is_integer():
            said = str(int(value))
        said = _text(said, _MOST_VALUE)
        if label and said and len(found) < _MOST_ATTRIBUTES:
            found.setdefault(label, said)
    return found


def _text(given: object, most: int) -> str:
    """The text in one line, without what none may hold, cut to its bound."""
    return "".join(each if each.isprintable() else " " for each in str(given))[:most].strip()
