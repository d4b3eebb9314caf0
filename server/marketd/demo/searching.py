"""Somebody who has no account yet looks for a product by a word that is misspelt, and narrows what is found."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence

from marketplace.catalog.v1 import catalog_service_pb2, product_pb2, search_pb2

from marketd.demo.people import Cast
from marketd.demo.records import CheckFailed, require
from marketd.demo.stage import Stage

# What is imported is indexed behind it, in batches.
_INDEX_SECONDS = 20.0
_LOOK_SECONDS = 0.1
_LETTERS = re.compile(r"[^\W\d_]{6,}")

_FACETS = (search_pb2.FACET_KIND_BRAND, search_pb2.FACET_KIND_PRICE)


async def search(stage: Stage, cast: Cast, seller_id: str, products: Sequence[product_pb2.Product]) -> None:
    """A word of a title with two letters the wrong way round finds what has it; a facet says how to narrow that."""
    word = word_of(products)
    if not word:
        return  # no title of the file has a word that one could misspell
    typed = misspelt(word)
    async with stage.step("search", f"Somebody looks for “{typed}” and finds “{word}”") as detail:
        published = sum(product.state == product_pb2.PRODUCT_STATE_PUBLISHED for product in products)
        whole = catalog_service_pb2.SearchProductsRequest(seller_ids=[seller_id], page_size=1)
        await _until(cast, whole, lambda found: found.approximate or found.total_size == published)
        query = catalog_service_pb2.SearchProductsRequest(query=typed, seller_ids=[seller_id], facets=_FACETS)
        answer = await _until(cast, query, lambda found: bool(found.products))
        detail["query"], detail["corrected"] = typed, answer.corrected_query
        detail["found"], detail["first"] = answer.total_size, answer.products[0].title
        facets = {search_pb2.FacetKind.Name(facet.kind): facet for facet in answer.facets}
        detail["facets"] = {name: len(facet.buckets) for name, facet in facets.items()}
        prices = facets["FACET_KIND_PRICE"].buckets
        require(sum(bucket.count for bucket in prices) == answer.total_size, "the facet of prices does not add up")
        narrowed = catalog_service_pb2.SearchProductsRequest(
            query=typed, seller_ids=[seller_id], min_price=prices[0].min_price
        )
        if prices[0].HasField("max_price"):
            narrowed.max_price.CopyFrom(prices[0].max_price)
        left = (await cast.buyer.catalog.SearchProducts(narrowed)).total_size
        detail["narrowed"] = left
        require(left == prices[0].count, f"a price range says {prices[0].count} products and leaves {left}")


async def _until(
    cast: Cast,
    query: catalog_service_pb2.SearchProductsRequest,
    holds: Callable[[catalog_service_pb2.SearchProductsResponse], bool],
) -> catalog_service_pb2.SearchProductsResponse:
    """The answer once it is as it should be."""
    end = time.monotonic() + _INDEX_SECONDS
    while True:
        answer = await cast.buyer.catalog.SearchProducts(query)
        if holds(answer):
            return answer
        if time.monotonic() > end:
            raise CheckFailed(
                f"“{query.query}” finds {answer.total_size} products {_INDEX_SECONDS:.0f} s after the import"
            )
        await asyncio.sleep(_LOOK_SECONDS)


def word_of(products: Sequence[product_pb2.Product]) -> str:
    """The longest word of the titles in lower case; of several the one that comes first. "" when none is long."""
    shown = (product for product in products if product.state == product_pb2.PRODUCT_STATE_PUBLISHED)
    words = [word.lower() for product in shown for word in _LETTERS.findall(product.title)]
    return max(words, key=len, default="")


def misspelt(word: str) -> str:
    """The word with two neighbouring letters the wrong way round, as fingers do it: neither the first nor alike."""
    for place in range(len(word) // 2, len(word) - 1):
        if word[place] != word[place + 1]:
            return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return word
