"""Between the values of a search and its messages."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from uuid import UUID

from google.type.money_pb2 import Money as MoneyMessage
from marketplace.catalog.v1 import catalog_service_pb2, search_pb2

from marketd.catalog import convert
from marketd.catalog.search.values import Bucket, Counts, Facet, FacetKind, SearchOrder, SearchQuery, Suggestion
from marketd.catalog.values import Product
from marketd.kernel.call.pages import parse_order
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.enums import EnumMap
from marketd.kernel.values.money import Money
from marketd.kernel.wire import from_money, to_money

DEFAULT_SUGGESTIONS = 10

_KINDS = EnumMap(FacetKind, search_pb2.FacetKind)
_ORDERS = tuple(order.value for order in SearchOrder if " " not in order.value)


def from_search(request: catalog_service_pb2.SearchProductsRequest, currency: str) -> SearchQuery:
    """What is searched for. Raises ValidationFailed for an order that there is not, a price in another currency and a
    highest price below the least.
    """
    least = _price(request.min_price, currency, "min_price") if request.HasField("min_price") else None
    most = _price(request.max_price, currency, "max_price") if request.HasField("max_price") else None
    if least is not None and most is not None and most < least:
        raise ValidationFailed(FieldViolation("max_price", "must not be below min_price"))
    return SearchQuery(
        text=request.query,
        category_ids=_ids(request.category_ids),
        brand_ids=_ids(request.brand_ids),
        seller_ids=_ids(request.seller_ids),
        min_price_minor=least,
        max_price_minor=most,
        # Up to the next thousandth: what is shown as 4.333 meets 4.333, however the number is written down.
        min_rating_milli=math.ceil(round(request.min_rating * 1000, 6)),
        in_stock=request.in_stock,
        attributes=_attributes(request.attributes),
        order=_order(request.order_by),
    )


def _ids(texts: Iterable[str]) -> tuple[UUID, ...]:
    return tuple(dict.fromkeys(map(UUID, texts)))


def _price(message: MoneyMessage, currency: str, field: str) -> int:
    return from_money(message, currency, field).amount_minor


def _attributes(filters: Iterable[search_pb2.AttributeFilter]) -> dict[str, tuple[str, ...]]:
    """By name, with the values of all filters of that name."""
    found: dict[str, dict[str, None]] = {}
    for each in filters:
        name = unicodedata.normalize("NFC", each.name).lower()
        found.setdefault(name, {}).update(dict.fromkeys(each.values))
    return {name: tuple(values) for name, values in found.items()}


def _order(order_by: str) -> SearchOrder:
    name, descending = parse_order(order_by, _ORDERS, SearchOrder.RELEVANCE)
    if name == SearchOrder.PRICE:
        return SearchOrder.PRICE_DESC if descending else SearchOrder.PRICE
    if order_by.split()[1:] == ["asc"]:
        raise ValidationFailed(FieldViolation("order_by", f"{name} begins with the best and cannot be turned round"))
    return SearchOrder(name)


def kinds_of(request: catalog_service_pb2.SearchProductsRequest) -> tuple[FacetKind, ...]:
    """What to count by."""
    return _KINDS.all_from_wire(request.facets)


def without_facets(request: catalog_service_pb2.SearchProductsRequest) -> catalog_service_pb2.SearchProductsRequest:
    """What a page token is bound to: facets come with the first page, and a later one may leave them out."""
    if not request.facets:
        return request
    bound = catalog_service_pb2.SearchProductsRequest()
    bound.CopyFrom(request)
    bound.ClearField("facets")
    return bound


def add_counts(answer: catalog_service_pb2.SearchProductsResponse, counts: Counts, currency: str) -> None:
    """What belongs to the first page."""
    answer.total_size = counts.total
    answer.approximate = counts.approximate
    answer.facets.extend(_to_facet(facet, currency) for facet in counts.facets)


def _to_facet(facet: Facet, currency: str) -> search_pb2.Facet:
    return search_pb2.Facet(
        kind=_KINDS.to_wire(facet.kind),
        name=facet.name,
        buckets=[_to_bucket(bucket, currency) for bucket in facet.buckets],
        approximate=facet.approximate,
    )


def _to_bucket(bucket: Bucket, currency: str) -> search_pb2.FacetBucket:
    def money(amount_minor: int | None) -> MoneyMessage | None:
        return None if amount_minor is None else to_money(Money(amount_minor, currency))

    return search_pb2.FacetBucket(
        value=bucket.value,
        label=bucket.label,
        count=bucket.count,
        min_price=money(bucket.min_price_minor),
        max_price=money(bucket.max_price_minor),
    )


def to_suggestion(suggestion: Suggestion, product: Product | None, media_url: str) -> search_pb2.Suggestion:
    """The suggestion as a message; its product without variants and with its first picture, below `media_url`."""
    message = search_pb2.Suggestion(text=suggestion.text)
    if product is not None:
        message.product.CopyFrom(convert.to_product(product, media_url))
        message.product.ClearField("variants")
        del message.product.images[1:]
    return message
