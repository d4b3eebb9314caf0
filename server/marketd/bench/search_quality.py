"""How good a ranking is: nDCG@10 with the gain 2^rating - 1, what nobody judged counting as 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

DEPTH = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """One query's answer and what it is worth. `ndcg_judged`: of the answer without what nobody judged."""

    query: str
    found: int
    ndcg: float
    ndcg_judged: float


def judge(query: str, answer: Sequence[str], ratings: Mapping[str, int]) -> Judged | None:
    """The worth of the answer, best first; None when no product is good for the query, so that there is no best."""
    ideal = _dcg(sorted(ratings.values(), reverse=True))
    if not ideal:
        return None
    of_all = _dcg([ratings.get(key, 0) for key in answer])
    of_judged = _dcg([ratings[key] for key in answer if key in ratings])
    return Judged(query, len(answer), of_all / ideal, of_judged / ideal)


def mean_ndcg(judged: Sequence[Judged]) -> float:
    """Over all queries."""
    return fmean(each.ndcg for each in judged)


def mean_ndcg_judged(judged: Sequence[Judged]) -> float:
    """Over all queries, of what was judged."""
    return fmean(each.ndcg_judged for each in judged)


def _dcg(ratings: Sequence[int]) -> float:
    return sum((2.0**rating - 1) / math.log2(place + 2) for place, rating in enumerate(ratings[:DEPTH]))
