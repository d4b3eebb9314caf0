"""What somebody may mean who is still typing: words to search for, then products that are called so.

The last word is taken as a beginning unless a blank follows it. It goes on with the most frequent words; behind others,
only with words that name products together with those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from marketd.catalog.names import title_key
from marketd.catalog.search import bands, correcting, find
from marketd.catalog.search.reading import Reading
from marketd.catalog.search.repository import lookups, suggestions
from marketd.catalog.search.values import Suggestion
from marketd.kernel.db.database import Connection
from marketd.kernel.db.uow import ReadUnit

_CANDIDATES: Final = 20
_TITLE_LETTERS: Final = 3
"""Titles are not looked for by fewer letters: they would be any."""


async def suggest(unit: ReadUnit, text: str, limit: int) -> list[Suggestion]:
    """Up to `limit` suggestions: words first, the likeliest first, and then products. At most two thirds are words."""
    connection = unit.connection
    looked_up = await lookups.look_up(connection, text)
    typed = looked_up.words
    if not typed:
        return []
    earlier, beginning = (typed, "") if text[-1:].isspace() else (typed[:-1], typed[-1].word)
    # What nothing is like is left out.
    known = [
        each for word in earlier if (each := word.word if word.documents else await find.meant(connection, word.word))
    ]
    words = await _ways_on(connection, known, beginning, max(1, limit * 2 // 3))
    texts = [" ".join([*known, word]) if word else " ".join(known) for word in words]
    product_ids = await _products(unit, text, texts, limit - len(texts))
    titles = await suggestions.titles_of(connection, product_ids)
    return [
        *(Suggestion(each) for each in texts),
        *(Suggestion(titles[product_id], product_id) for product_id in product_ids if product_id in titles),
    ]


async def _ways_on(connection: Connection, earlier: list[str], beginning: str, most: int) -> list[str]:
    """The words that the last one may become, the likeliest first; one empty word when it is finished."""
    if not beginning:
        return [""] if earlier else []
    before = await find.understand(connection, " ".join(earlier)) if earlier else Reading()
    if not before.groups:
        return await _likely(connection, beginning, most)
    sizes = await lookups.band_sizes(connection, before.total)
    band = bands.fitting(before.documents, sizes, suggestions.SAMPLE)
    found = await suggestions.going_on(connection, before.all_words, beginning, band)
    if not found and (likely := await _likely(connection, beginning, _CANDIDATES)):
        found = await suggestions.together(connection, before.all_words, likely, band)
    return list(found)[:most]


async def _for_sale(connection: Connection, words: Mapping[str, int], most: int) -> list[str]:
    """The first of the words that shops have that sell."""
    found: list[str] = []
    left = list(words.items())
    while left and len(found) < most:
        looked_at = most - len(found)
        found += await lookups.for_sale(connection, dict(left[:looked_at]))
        left = left[looked_at:]
    return found


async def _likely(connection: Connection, beginning: str, most: int) -> list[str]:
    """The most frequent words that begin so; when none does, those a slip away."""
    found = await _for_sale(connection, await suggestions.completions(connection, beginning, _CANDIDATES), most)
    if not found and correcting.is_correctable(beginning):
        near = await suggestions.completions_of_any(connection, correcting.one_slip(beginning), _CANDIDATES)
        found = await _for_sale(connection, near, most)
        if not found and (likely := await find.meant(connection, beginning)):
            return [likely]
    return found


async def _products(unit: ReadUnit, text: str, texts: list[str], most: int) -> list[UUID]:
    """Products whose titles begin as it is typed, then the best for the likeliest words."""
    if most <= 0 or len(text.strip()) < _TITLE_LETTERS:
        return []
    found = await suggestions.titles_from(unit.connection, title_key(text), most)
    if texts and len(found) < most:
        best = await find.best(unit, texts[0], most)
        found += [product_id for product_id in best if product_id not in found]
    return found[:most]
