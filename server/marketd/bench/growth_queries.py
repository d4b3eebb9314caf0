"""The searches whose database time is measured: everything that buyers do, over whatever products there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import asyncpg

from marketd.catalog.search.reading import SLIP_SHARE
from marketd.catalog.search.values import SearchOrder, SearchQuery

_TEXTS: Final = (
    # One word, two words, a word that is written in two ways.
    *("headset", "keyboard", "notebook", "monitor", "printer", "cable", "charger", "camera"),
    *("wireless headset", "black notebook", "usb cable", "laser printer", "bluetooth speaker", "head set"),
    # Plurals, accents, slips, words that say nothing, too many words.
    *("headsets", "cables", "câble", "headst", "notebok", "wireles keybord", "the cable for the printer"),
    *("compact wireless keyboard black with usb charger and cable for notebook", "qwrtzpl vbnmkjh"),
)

_PAGE: Final = 20


@dataclass(frozen=True, slots=True)
class Words:
    """What the database has: words that very many documents have and that few have, and things to look for."""

    common: Sequence[str]
    rare: Sequence[str]
    product_id: str
    title: str
    sku: str
    barcode: str
    brand: str


async def read_words(connection: asyncpg.Connection[asyncpg.Record]) -> Words:
    """The words and one product of a brand that few have.

    Rare words fill a page wherever they are looked for, so that answers are equally long. They have no other
    forms and are nobody's slip, or they would lead to what may be frequent.
    """
    common = await connection.fetch(
        "SELECT word FROM search_words WHERE written AND word ~ '^[a-z]{3,}$' ORDER BY documents DESC, word LIMIT 20"
    )
    rare = await connection.fetch(
        "SELECT w.word FROM search_words w, search_state s WHERE w.written AND w.word ~ '^[a-z]{5,}$'"
        " AND w.documents >= $1"
        " AND w.documents > $2::float8 * (SELECT t.documents FROM search_words t WHERE t.word = '')"
        " AND (tsvector_to_array(to_tsvector(s.language::regconfig, w.word)))[1] = w.word"
        " ORDER BY w.documents, w.word LIMIT 200",
        _PAGE,
        SLIP_SHARE,
    )
    product = await connection.fetchrow(
        "SELECT p.product_id, p.title, v.sku, v.barcode, b.name AS brand FROM products p"
        " JOIN variants v USING (product_id) JOIN brands b USING (brand_id)"
        " WHERE p.state = 'PUBLISHED' AND v.barcode <> '' ORDER BY p.product_id LIMIT 1"
    )
    if product is None:
        raise RuntimeError("no product has a brand and a barcode: the table of searches cannot be made")
    return Words(
        [row["word"] for row in common],
        [row["word"] for row in rare],
        str(product["product_id"]),
        product["title"],
        product["sku"],
        product["barcode"],
        product["brand"],
    )


async def table(connection: asyncpg.Connection[asyncpg.Record], words: Words) -> dict[str, SearchQuery]:
    """Some forty searches by their names."""
    brand_id = await connection.fetchval("SELECT brand_id FROM brands WHERE name = $1", words.brand)
    category_id = await connection.fetchval(
        "SELECT category_id FROM products WHERE product_id = $1::uuid", words.product_id
    )
    attribute = await connection.fetchrow("SELECT name, value FROM search_attributes ORDER BY attribute_key LIMIT 1")
    broad, narrow = SearchQuery(words.common[0]), SearchQuery("headset")
    found = {text: SearchQuery(text) for text in _TEXTS}
    found |= {f"common {place}: {word}": SearchQuery(word) for place, word in enumerate(words.common[:3], start=1)}
    found |= {"two common words": SearchQuery(" ".join(words.common[:2])), "rare word": SearchQuery(words.rare[0])}
    found |= {
        "SKU": SearchQuery(words.sku),
        "barcode": SearchQuery(words.barcode),
        "title": SearchQuery(words.title[:200]),
        "brand and kind": SearchQuery(f"{words.brand} {words.common[0]}"),
        "nothing typed": SearchQuery(),
        "in stock": replace(narrow, in_stock=True),
        "prices": replace(narrow, min_price_minor=2_000, max_price_minor=8_000),
        "rating": replace(narrow, min_rating_milli=4_000),
        "common word of a brand": replace(broad, brand_ids=(brand_id,)),
        "common word, cheapest": replace(broad, order=SearchOrder.PRICE),
        "common word, newest": replace(broad, order=SearchOrder.NEWEST),
        "best rated": SearchQuery(order=SearchOrder.RATING),
    }
    if category_id is not None:
        found["category"] = SearchQuery(category_ids=(category_id,))
    if attribute is not None:
        found["attribute"] = SearchQuery(attributes={attribute["name"]: (attribute["value"],)})
    return found
