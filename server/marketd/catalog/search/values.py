"""The values of a search: what is asked and what is found. No tables, SQL or protobuf here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from marketd.catalog.values import Product

MAX_RELEVANT = 1000
"""How far relevance reaches; the other orders reach all."""
EXACT_COUNTS = 10_000
"""So many matches are counted one by one; more are estimated from a sample."""


class SearchOrder(StrEnum):
    """What stands first. Each but the prices begins with the best."""

    RELEVANCE = "relevance"
    PRICE = "price"
    PRICE_DESC = "price desc"
    RATING = "rating"
    NEWEST = "newest"
    POPULAR = "popular"


class FacetKind(StrEnum):
    """What matches are counted by; the values are those of the contract without the prefix."""

    CATEGORY = "CATEGORY"
    BRAND = "BRAND"
    SELLER = "SELLER"
    PRICE = "PRICE"
    RATING = "RATING"
    IN_STOCK = "IN_STOCK"
    ATTRIBUTES = "ATTRIBUTES"


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What is searched for. An empty `text` finds everything; empty filters leave everything.

    A product meets a filter of several values by one of them, and has to meet every filter. category_ids: with all
    below them. Prices are in minor units of the marketplace's currency, both inclusive; min_rating_milli: 0..5000.
    attributes: by name, the values that will do; case makes no difference to either. attribute_keys: the numbers of
    these in documents, by name, which repository/filters.py finds out before anything else is asked.
    """

    text: str = ""
    category_ids: tuple[UUID, ...] = ()
    brand_ids: tuple[UUID, ...] = ()
    seller_ids: tuple[UUID, ...] = ()
    min_price_minor: int | None = None
    max_price_minor: int | None = None
    min_rating_milli: int = 0
    in_stock: bool = False
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    order: SearchOrder = SearchOrder.RELEVANCE
    attribute_keys: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def is_narrowed(self) -> bool:
        """Whether any filter is set."""
        return bool(
            self.category_ids
            or self.brand_ids
            or self.seller_ids
            or self.min_price_minor is not None
            or self.max_price_minor is not None
            or self.min_rating_milli
            or self.in_stock
            or self.attributes
        )


@dataclass(frozen=True, slots=True)
class Matching:
    """Which documents the words of a query find: those whose words meet `tsquery`, all when it is empty.

    It is a matter of the words alone. No filter turns "all the words" into "any of them", or the facets would not add
    up: the number of matches that a filter leaves is the number that its facet says.
    corrected_query: what was searched for instead of words that nothing has; else empty. documents: at most so many can
    meet it, by the counts of its words (of all of them the rarest's, of any of them their sum); of an empty query all
    that there are. It chooses between looking at all of them and a walk or a sample. total: how many there are at all.
    is_counted: `documents` is how many do meet it, of whichever shop.
    nothing: no document can meet it, such as for a nonsense word. article_number: the SKU or barcode that the whole
    query is, if there is one: what has it is found whatever its words.
    """

    tsquery: str = ""
    corrected_query: str = ""
    documents: int = 0
    total: int = 0
    is_counted: bool = False
    nothing: bool = False
    article_number: str = ""


@dataclass(frozen=True, slots=True)
class Hits:
    """A stretch of what a query finds by relevance, best first, and by which words it was found.

    has_more: whether further ones come within the reach of relevance.
    """

    product_ids: tuple[UUID, ...]
    matching: Matching
    has_more: bool = False

    @property
    def corrected_query(self) -> str:
        """What was searched for instead; else empty."""
        return self.matching.corrected_query


@dataclass(frozen=True, slots=True)
class Bucket:
    """One thing that a search can be narrowed to, and how many products it leaves.

    Ranges of prices have bounds, both inclusive, and neither value nor label; the last has no `max_price_minor`.
    """

    count: int
    value: str = ""
    label: str = ""
    min_price_minor: int | None = None
    max_price_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Facet:
    """What the matches can be narrowed to by one filter, counted without that filter. name: of an attribute."""

    kind: FacetKind
    buckets: tuple[Bucket, ...]
    name: str = ""
    approximate: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """How many products match, and what they can be narrowed to. approximate: of `total`."""

    total: int
    approximate: bool
    facets: tuple[Facet, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search; `counts` only with the first one."""

    products: tuple[Product, ...]
    corrected_query: str
    counts: Counts | None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a buyer who is still typing may mean: words to search for, or the title of a product."""

    text: str
    product_id: UUID | None = None
