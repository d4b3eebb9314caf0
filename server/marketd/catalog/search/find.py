"""From the words of a query to what is found, best first.

The words are looked up first: how many documents have each says what it weighs, whether it is known at all, and how
widely to look. Words that few documents have lead to all of them. Of words that many have, a band is ranked: a sample
that prefers what sells (bands.py), large enough for everything that relevance reaches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from marketd.catalog.search import bands, correcting, reading
from marketd.catalog.search.model import fitting_sample
from marketd.catalog.search.reading import Reading, Word
from marketd.catalog.search.repository import leads, lookups, ranking
from marketd.catalog.search.repository.leads import Lead
from marketd.catalog.search.repository.lookups import LookUp
from marketd.catalog.search.repository.ranking import Ranked
from marketd.catalog.search.values import MAX_RELEVANT, Hits, Matching, SearchQuery
from marketd.kernel.db.database import Connection
from marketd.kernel.db.uow import ReadUnit

RANKED_ALL: Final = 2_000
"""A query that at most so many documents can meet ranks all of them: some milliseconds, most of it for their pages."""
ENOUGH: Final = 10
"""When fewer documents have all of the words, those with any of them follow: the first look of a buyer is filled."""
CHOICE: Final = 200
"""Of so many at least the best are chosen, when there are so many: two of the largest pages."""
FEW: Final = 100
"""So many are ranked for a few suggestions."""
_MAX_LOOKS: Final = 5
# So many words hardly stand together anywhere.
_MANY_WORDS: Final = 5
# So few of the words lead to so few documents, mostly, that the others are looked for in these.
_RAREST: Final = 3
_JUDGED: Final = 200
# So many of a sample say how often words stand together.
_SAMPLED: Final = 200
_SAMPLE: Final = 600


async def match(unit: ReadUnit, query: SearchQuery) -> Matching:
    """Which documents the words of the query find, whatever its filters."""
    found = await understand(unit.connection, query.text)
    return matching_of(await _widened(unit.connection, found), query)


async def find(unit: ReadUnit, query: SearchQuery, *, offset: int, limit: int) -> Hits:
    """The `limit` best behind the first `offset` of what the query finds; of at most MAX_RELEVANT."""
    found = await understand(unit.connection, query.text)
    if not (found.groups or found.code):
        return Hits((), matching_of(found, query))
    limit = max(0, min(limit, MAX_RELEVANT - offset))
    if len(found.groups) >= _MANY_WORDS and found.documents > RANKED_ALL:
        # A ranking of what has all of them would mostly be for nothing.
        found = await _widened(unit.connection, found)
    ranked = await _rank(unit.connection, query, found, offset=offset, limit=limit)
    # That enough was found with all of the words says the same as a look of its own.
    if ranked.candidates < ENOUGH and not found.is_any and (wider := await _widened(unit.connection, found)).is_any:
        found = wider
        ranked = await _rank(unit.connection, query, found, offset=offset, limit=limit)
    reached = min(ranked.candidates, MAX_RELEVANT)
    is_more = offset + len(ranked.product_ids) < reached
    return Hits(tuple(ranked.product_ids), matching_of(found, query), has_more=is_more)


def matching_of(found: Reading, query: SearchQuery) -> Matching:
    """What the words say of the documents that are found."""
    if not query.text.strip():
        return Matching(documents=found.total, total=found.total)
    if not found.groups and not found.code:
        return Matching(nothing=True)
    return Matching(
        found.tsquery,
        found.corrected_query,
        found.documents,
        total=found.total,
        is_counted=found.is_one_word and not found.code,
        article_number=found.code,
    )


async def understand(connection: Connection, text: str) -> Reading:
    """The query as its words are known; those that no document has are corrected."""
    looked_up = await lookups.look_up(connection, text)
    if looked_up.words and not any(word.lexeme for word in looked_up.words):
        # Nothing but words that the language passes over: as they are written they stand in the documents too.
        looked_up = await lookups.look_up(connection, text, as_written=True)
    words, corrected = await _corrected(connection, await _parted(connection, looked_up))
    words = await _with_likely(connection, words, looked_up.total)
    groups = reading.understand(words, looked_up.total, most_parted=RANKED_ALL)
    code = await lookups.code_of(connection, text)
    return Reading(groups, looked_up.total, code, corrected_query=corrected)


async def _widened(connection: Connection, found: Reading) -> Reading:
    """The same, or with any of the words when hardly any document has them all, whatever the filters."""
    if len(found.groups) < 2 or found.code:
        return found
    whole = await _count_few(connection, found)
    return found.by_any(whole) if whole < ENOUGH else found


async def _corrected(connection: Connection, words: tuple[Word, ...]) -> tuple[tuple[Word, ...], str]:
    """The words, with those that are not known as what was meant; and the query that they make, if it is another."""
    spelled = [word.word for word in words]
    for place in reading.unknown(words):
        spelled[place] = await meant(connection, spelled[place]) or spelled[place]
    if spelled == [word.word for word in words]:
        return words, ""
    text = " ".join(spelled)
    return await _parted(connection, await lookups.look_up(connection, text)), text


async def _parted(connection: Connection, looked_up: LookUp) -> tuple[Word, ...]:
    """The words; one that is only known as two, though these stand together nowhere, is not known."""
    found = list(looked_up.words)
    for place, word in enumerate(found):
        if word.parted_documents and not word.documents:
            sizes = await lookups.band_sizes(connection, looked_up.total)
            band = bands.fitting(word.parted_documents, sizes, RANKED_ALL)
            if not await ranking.count_up_to(connection, reading.parts_of(word).tsquery, band, 1):
                found[place] = replace(word, parted_documents=0)
    return tuple(found)


async def _with_likely(connection: Connection, words: tuple[Word, ...], total: int) -> tuple[Word, ...]:
    """The words, and of those that hardly any document has what they are perhaps slips of: sellers make them too."""
    found = list(words)
    for place in reading.doubtful(words, total):
        word = words[place]
        if not correcting.is_correctable(word.word):
            continue
        known = await lookups.known_words(connection, correcting.one_slip(word.word))
        if (best := correcting.best(word.word, known)) and reading.is_slip_of(word, known[best]):
            likely = (await lookups.look_up(connection, best)).words[0]
            # Forms of one word are no slips of each other.
            if likely.lexeme != word.lexeme:
                found[place] = replace(word, likely=likely.lexeme, likely_documents=likely.documents)
    return tuple(found)


async def meant(connection: Connection, word: str) -> str:
    """The word that somebody meant who typed one that no document has; empty when nothing is like it."""
    if not correcting.is_correctable(word):
        return ""
    known = await lookups.known_words(connection, correcting.one_slip(word))
    return await _likest(connection, word, known) or await _likest(
        connection, word, await lookups.words_like(connection, word)
    )


async def _likest(connection: Connection, word: str, known: Mapping[str, int]) -> str:
    """The one of the known words that was meant; none that only shops have that do not sell: it would be told."""
    left = dict(known)
    while found := correcting.best(word, left):
        if await lookups.for_sale(connection, {found: left.pop(found)}):
            return found
    return ""


async def _count_few(connection: Connection, found: Reading) -> int:
    """How many documents have all of the words; ENOUGH for more. A sample or a small band says so of most queries."""
    sampled, expected = await _sample(connection, found)
    if sampled >= ENOUGH:
        return ENOUGH
    if len(found.groups) > _RAREST:
        rarest, others = found.rarest_words(_RAREST)
        counted = await ranking.count_judged(connection, rarest, others, _JUDGED)
        if counted is not None:
            return min(counted, ENOUGH)
    band = 0
    if expected >= ENOUGH**2:
        band = bands.fitting(expected, await _sizes(connection, found), ENOUGH**2)
    while True:
        count = await ranking.count_up_to(connection, found.all_words, band, ENOUGH)
        if count >= ENOUGH or band == 0:
            return count
        band = bands.lower(band, 0, (), ENOUGH)


async def _sample(connection: Connection, found: Reading) -> tuple[int, float]:
    """How many documents of a sample have all of the words, as far as they were counted, and about how many do at all.

    That each of two words is frequent says nothing of how often they stand together.
    """
    if len(found.groups) < 2 or found.documents <= RANKED_ALL:
        return 0, found.documents
    parts = fitting_sample(found.documents, _SAMPLE)
    sampled = await ranking.count_sampled(connection, found.all_words, parts, _SAMPLED)
    if sampled < _SAMPLED:
        return sampled, sampled * parts
    others = math.prod(group.documents / max(1, found.total) for group in found.groups) * found.total
    return sampled, max(found.documents / 2, others)


async def best(unit: ReadUnit, text: str, most: int) -> Sequence[UUID]:
    """A few of the best for some words, at a fraction of the price: a small band is ranked."""
    found = await understand(unit.connection, text)
    if not found.groups:
        return ()
    sizes = await lookups.band_sizes(unit.connection, found.total)
    band = bands.fitting(found.documents, sizes, FEW)
    ranked = await ranking.rank(unit.connection, SearchQuery(text), found, band, offset=0, limit=most)
    if band and len(ranked.product_ids) < most:
        band = bands.lower(band, ranked.candidates, sizes, FEW)
        ranked = await ranking.rank(unit.connection, SearchQuery(text), found, band, offset=0, limit=most)
    return ranked.product_ids


async def _rank(connection: Connection, query: SearchQuery, found: Reading, *, offset: int, limit: int) -> Ranked:
    """Ranks a band in which about as many are as relevance reaches, or all.

    When it has fewer, but enough to choose from, what stands behind these is what a lower band has beside: only whoever
    turns so many pages pays for that. Which bands these are does not depend on the page, so pages hang together.
    """
    expected = found.documents if found.is_any else (await _sample(connection, found))[1]
    left = await leads.estimate_left(connection, query)
    if left is not None and left > RANKED_ALL and leads.can_walk(query, expected, found.total):
        return await ranking.rank(connection, query, found, 0, offset=offset, limit=limit, lead=Lead.WALK)
    documents = expected if left is None else expected * left / max(1, found.total)
    sizes = await _sizes(connection, found)
    wanted = _wanted(found, query)
    band, above = bands.fitting(documents, sizes, wanted), 0
    product_ids: list[UUID] = []
    before = 0
    for look in range(_MAX_LOOKS):
        start, rest = max(0, offset - before), limit - len(product_ids)
        lead = leads.lead_of(found.documents * sizes[band] / max(1, sizes[0]), left, found.total)
        ranked = await ranking.rank(connection, query, found, band, above=above, offset=start, limit=rest, lead=lead)
        counted = before + ranked.candidates
        if band and counted < CHOICE:
            # Too few to choose from: the lower band is ranked as one.
            band = bands.lower(band, counted, sizes, 2 * CHOICE) if look < _MAX_LOOKS - 2 else 0
            continue
        product_ids += ranked.product_ids
        before = counted
        if band == 0 or before >= MAX_RELEVANT:
            break
        if len(product_ids) == limit:
            # There is more, as far as anybody knows without looking.
            before = max(before, min(MAX_RELEVANT, offset + limit + 1))
            break
        above, band = band, bands.lower(band, before, sizes, MAX_RELEVANT) if look < _MAX_LOOKS - 2 else 0
    return Ranked(before, product_ids)


def _wanted(found: Reading, query: SearchQuery) -> int:
    """So many are ranked at least, when there are so many: twice as many may be, and further words and filters cost."""
    return MAX_RELEVANT // 2 if len(found.groups) < 2 and not query.is_narrowed else 2 * CHOICE


async def _sizes(connection: Connection, found: Reading) -> Sequence[float]:
    """How many documents are in each band; only 0 where all are to be looked at."""
    if found.documents <= RANKED_ALL:
        return [found.total]
    return await lookups.band_sizes(connection, found.total)
