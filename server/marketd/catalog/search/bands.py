"""Bands: nested samples of the documents in which what sells well is found sooner, for words that very many have.

Every document that is in stock is in band 1, half of those are in band 2, half of these in band 3: a document's own
number decides (`sample_key`), and each doubling of its sales lifts it by one band. So a band of a wanted size is a
sample that prefers what is popular. What some of them hold is indexed apart, the fronts: an index of all documents
decodes the entries of everything that has a word to find the few of a band.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

COUNT: Final = 24
FRONTS: Final = (3, 5, 8)
"""The bands that have an index of their own. Lower ones would hold most documents, and are never looked into."""
_HALVES: Final = 16
_BOUNDS: Final = ",".join(str(2 ** (15 + place)) for place in range(_HALVES))
_ALL: Final = ",".join(str(band) for band in range(1, COUNT + 1))
# Sales are 70 points on a logarithmic scale up to 10,000: five points are a doubling.
_POINTS: Final = 5

BANDS_SQL: Final = (
    f"('{{{_ALL}}}'::smallint[])[1:CASE WHEN in_stock THEN least({COUNT}, {_HALVES + 1}"
    f" - width_bucket(sample_key & 2147483647, '{{{_BOUNDS}}}'::integer[]) + popularity / {_POINTS}) ELSE 0 END]"
)
"""SQL: the bands that a document is in; made by the database whenever its columns change."""


def front_sql(front: int) -> str:
    """SQL: whether a document is in that front. Written out, since a partial index is used only where the statement
    says that it holds.
    """
    return f"bands @> '{{{front}}}'::smallint[]"


def front_of(band: int) -> int:
    """The smallest front that holds the whole band; 0 is all documents."""
    return max((front for front in FRONTS if front <= band), default=0)


def fitting(documents: float, sizes: Sequence[float], wanted: int) -> int:
    """The highest band in which about `wanted` of that many documents are; 0 is all documents.

    sizes: how many documents are in each band, from band 0 on.
    """
    fit = (band for band, size in enumerate(sizes) if documents * size >= wanted * sizes[0])
    return _reached(max(fit, default=0))


def lower(band: int, found: int, sizes: Sequence[float], wanted: int) -> int:
    """The band to look into after `found` fewer than `wanted` were in `band`: where as many as wanted should be.

    Nothing found says little: then a sixteenth as choosy.
    """
    if not found:
        return _reached(band - 4)
    reach = [lower for lower in range(band) if found * sizes[lower] >= wanted * max(1.0, sizes[band])]
    return _reached(max(reach, default=0))


def _reached(band: int) -> int:
    return band if band >= FRONTS[0] else 0
