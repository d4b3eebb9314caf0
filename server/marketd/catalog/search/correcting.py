"""What somebody meant who typed a word that no document has. No SQL here.

Nearly all slips are one letter too many, too few, another one, or two in the wrong order (Damerau, 1964): those are
made and looked up, which needs no index but that of the words. Two slips in a longer word are found among the words
that share trigrams with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MIN_LETTERS: Final = 3
"""Shorter words are not corrected: every one is a slip away from dozens of others."""
MAX_LETTERS: Final = 40
_TWO_SLIPS_LETTERS: Final = 6
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def is_correctable(word: str) -> bool:
    """Whether it can be a word with a slip in it: codes and numbers cannot."""
    return word.isalpha() and MIN_LETTERS <= len(word) <= MAX_LETTERS


def one_slip(word: str) -> set[str]:
    """Every word that is one slip away."""
    letters = set(_LETTERS) | set(word)
    halves = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    found = {left + right[1:] for left, right in halves if right}
    found |= {left + right[1] + right[0] + right[2:] for left, right in halves if len(right) > 1}
    found |= {left + letter + right[1:] for left, right in halves if right for letter in letters}
    found |= {left + letter + right for left, right in halves for letter in letters}
    return found - {word}


def distance(one: str, other: str) -> int:
    """How many slips lie between two words: letters added, left out, changed or swapped with the next."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, start=1):
        above, row, earlier = row, [place], before
        for column, its in enumerate(other, start=1):
            cost = min(above[column] + 1, row[column - 1] + 1, above[column - 1] + (letter != its))
            if place > 1 and column > 1 and letter == other[column - 2] and one[place - 2] == its:
                cost = min(cost, earlier[column - 2] + 1)
            row.append(cost)
        before = above
    return row[-1]


def best(word: str, known: Mapping[str, int]) -> str:
    """What was meant most likely: of the fewest slips, with the same first letter if there is one, the most frequent.

    known: how many documents have each. Empty when nothing is near enough.
    """
    most = 2 if len(word) >= _TWO_SLIPS_LETTERS else 1
    near = [(distance(word, other), other[0] != word[0], -count, other) for other, count in known.items() if other]
    near = [each for each in near if each[0] <= most]
    return min(near)[3] if near else ""
