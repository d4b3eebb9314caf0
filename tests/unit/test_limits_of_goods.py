"""What shops and buyers are told in numbers, as the contract and its pages say it: no test that takes the number from
the code would see it change.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pytest
from marketd.catalog import model as catalog
from marketd.catalog import servicer as catalog_servicer
from marketd.catalog.imports import pictures as import_pictures
from marketd.catalog.imports import texts
from marketd.catalog.imports import values as imports
from marketd.catalog.pictures import fetch, fetching
from marketd.catalog.repository import products
from marketd.catalog.search import convert as search_convert
from marketd.catalog.search import model as search_model
from marketd.catalog.search import values as search
from marketd.inventory import model as inventory
from marketd.kernel.events import watch
from marketd.media import servicer as media_servicer
from marketd.media import taking
from marketd.media.rendering import judge, pool
from marketd.media.values import RENDITIONS
from marketd.seller import opening

MIB: Final = 1024 * 1024

TOLD: Final = {
    "variants of a product": (catalog.MAX_VARIANTS, 2048),
    "pictures of a product": (catalog.MAX_IMAGES, 250),
    "characters of a description": (catalog.MAX_DESCRIPTION, 65_536),
    "levels of the tree of categories": (catalog.MAX_CATEGORY_DEPTH, 20),
    "variants and pictures in a list": ((products.LISTED_VARIANTS, products.LISTED_IMAGES), (20, 5)),
    "bytes of an import, streamed": (catalog_servicer.MAX_IMPORT_BYTES, 256 * MIB),
    "errors and warnings told again": (imports.MAX_TOLD, 1000),
    "pictures of a product of a file": (import_pictures.MAX_PICTURES, 250),
    "tags of a product of a file, and letters of one": ((texts.MAX_TAGS, texts.MAX_TAG), (250, 255)),
    "pieces of a stock": (inventory.MAX_QUANTITY, 1_000_000_000),
    "pieces that are few": (inventory.LOW_STOCK, 5),
    "how far relevance reaches": (search.MAX_RELEVANT, 1000),
    "matches that are counted one by one": (search.EXACT_COUNTS, 10_000),
    "suggestions": (search_convert.DEFAULT_SUGGESTIONS, 10),
    "days that sales count": (search_model.SOLD_DAYS, 30),
    "how long a watch can be gone on with": (watch.RESUME_LIFETIME, timedelta(days=1)),
    "how long a picture is waited for": (fetch.DEFAULT_SECONDS, 15.0),
    "pictures that are fetched at once: in all, of a host, of a shop": (
        (fetching.AT_ONCE, fetching.AT_A_HOST, fetching.OF_A_SHOP),
        (6, 2, 4),
    ),
    "bytes of a picture in one call": (media_servicer.MAX_INLINE_BYTES, 3 * MIB),
    "pixels, frames, scans and blocks of a picture": (
        (judge.MAX_PIXELS, judge.MAX_FRAMES, judge.MAX_SCANS, judge.MAX_BLOCKS),
        (24_000_000, 200, 40, 50_000),
    ),
    "the sizes of a picture": (RENDITIONS, {"thumb": 160, "card": 480, "full": 1600}),
    "seconds that a picture may take to be made": (pool.DEADLINE_SECONDS, 20.0),
    "how long files wait for their media": (taking.KEEP, timedelta(minutes=15)),
    "how far it is looked for when a shop opens": (opening.LOOK_AHEAD, timedelta(days=366)),
}


@pytest.mark.parametrize("what", TOLD)
def test_a_number_is_what_people_are_told(what: str) -> None:
    found, told = TOLD[what]
    assert found == told
