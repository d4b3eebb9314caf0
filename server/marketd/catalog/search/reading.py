"""How the words of a query are understood: which documents they lead to, and what each of them weighs. No SQL here.

Neighbours that somebody else writes as one word stand for that word too (head set, headset), and the other way round.
What a word weighs falls with the share of documents that have it: the idf of BM25 (Robertson and Zaragoza, 2009).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

MAX_WORDS: Final = 16
"""Further words of a query are passed over."""
# A word that a tenth of all documents have leads nowhere alone.
_LEADING_SHARE: Final = 0.1
# What an index has of a word that most documents have takes longer to read than to look into those that are left.
_MOST_SHARE: Final = 0.5
# What hardly anybody writes as one word is not looked for as one.
_SELDOM: Final = 0.01
SLIP_SHARE: Final = 0.0002
"""A word that at most one document in five thousand has may be a slip of another."""
NEARNESS: Final = 0.5
"""How much of the lighter of two neighbours it is worth that they stand side by side."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a query, as the index knows it.

    lexeme: what the language reduces it to; empty for a word that it passes over, such as `the`. documents: how many
    have the lexeme. joined: the lexeme of it and the next word in one, when documents have that. left_part,
    right_part: the lexemes of its two parts, when documents have both. likely: the lexeme of
    the word that it is perhaps a slip of, because hardly any document has it and very many have that.
    """

    word: str
    lexeme: str
    documents: int
    joined: str = ""
    joined_documents: int = 0
    left_part: str = ""
    right_part: str = ""
    parted_documents: int = 0
    likely: str = ""
    likely_documents: int = 0


@dataclass(frozen=True, slots=True)
class Term:
    """A lexeme and how much finding it is worth."""

    lexeme: str
    documents: int
    weight: float


@dataclass(frozen=True, slots=True)
class Parts:
    """Two lexemes, one behind the other, that stand for a word."""

    left: str
    right: str
    documents: int
    weight: float

    @property
    def tsquery(self) -> str:
        """What has them so."""
        return f"{quoted(self.left)} <-> {quoted(self.right)}"


@dataclass(frozen=True, slots=True)
class Group:
    """What one part of a query asks for: all of its terms, or what else it may be written as.

    joined: both terms in one word, worth as much as both side by side; or the word that its one term is perhaps a slip
    of. parts: its one term as two words.
    """

    terms: tuple[Term, ...]
    joined: Term | None = None
    parts: Parts | None = None

    @property
    def documents(self) -> int:
        """At most so many documents have it, about."""
        ways = [min((term.documents for term in self.terms), default=0)]
        ways += [way.documents for way in (self.joined, self.parts) if way is not None]
        return sum(ways)

    @property
    def terms_tsquery(self) -> str:
        """What has all of its terms."""
        return " & ".join(quoted(term.lexeme) for term in self.terms)

    @property
    def tsquery(self) -> str:
        """What its documents have."""
        ways = [self.terms_tsquery] if self.terms else []
        if self.joined is not None:
            ways.append(quoted(self.joined.lexeme))
        if self.parts is not None:
            ways.append(self.parts.tsquery)
        return "(" + " | ".join(f"({way})" for way in ways) + ")"


@dataclass(frozen=True, slots=True)
class Reading:
    """A query as it is understood.

    total: how many documents there are. code: the code that the whole query is, when a product has it, as codes are
    spelled. is_any: one of the words is enough, because hardly anything has them all. corrected_query: what was
    searched for instead; empty when it was what was asked for. is_none_whole: no document has all of the words.
    """

    groups: tuple[Group, ...] = ()
    total: int = 0
    code: str = ""
    is_any: bool = False
    corrected_query: str = ""
    is_none_whole: bool = False

    @property
    def all_words(self) -> str:
        """The tsquery that all of its words meet; empty without any."""
        return " & ".join(group.tsquery for group in self.groups)

    @property
    def seldom_words(self) -> str:
        """The tsquery of those words alone that not most of the documents have; of the rarest when all are such."""
        return " & ".join(group.tsquery for group in self._telling)

    def rarest_words(self, most: int) -> tuple[str, str]:
        """The tsquery of so many of the words, the rarest, and that of the others; empty without any."""
        groups = sorted(self.groups, key=lambda group: group.documents)
        rarest, others = groups[:most], groups[most:]
        return " & ".join(group.tsquery for group in rarest), " & ".join(group.tsquery for group in others)

    @property
    def mostly_words(self) -> str:
        """The tsquery of the other words; empty without any."""
        telling = self._telling
        return " & ".join(group.tsquery for group in self.groups if group not in telling)

    @property
    def _telling(self) -> list[Group]:
        telling = [group for group in self.groups if group.documents <= self.total * _MOST_SHARE]
        return telling or sorted(self.groups, key=lambda group: group.documents)[:1]

    @property
    def any_words(self) -> str:
        """The tsquery that one of its leading words meets."""
        return " | ".join(group.tsquery for group in self._leading)

    @property
    def tsquery(self) -> str:
        """What documents meet that it finds."""
        if self.is_none_whole:
            return self.any_words
        return f"({self.all_words}) | {self.any_words}" if self.is_any else self.all_words

    @property
    def documents(self) -> int:
        """At most so many documents are found, about."""
        if self.is_any:
            return min(self.total, sum(group.documents for group in self._leading))
        return min((group.documents for group in self.groups), default=0)

    @property
    def is_one_word(self) -> bool:
        """Whether it asks for one word that is written in one way only."""
        (only, *others) = self.groups or (Group(()),)
        return not others and len(only.terms) == 1 and only.joined is None and only.parts is None

    @property
    def _leading(self) -> list[Group]:
        leading = [group for group in self.groups if group.documents <= self.total * _LEADING_SHARE]
        return leading or list(self.groups)

    def by_any(self, whole: int) -> Reading:
        """The same, for which one of the words is enough. whole: how many documents have all of them."""
        return replace(self, is_any=True, is_none_whole=whole == 0)


def weight(documents: int, total: int) -> float:
    """The idf of a word that so many of all documents have; above zero always."""
    return math.log(1 + (max(total, documents) - documents + 0.5) / (documents + 0.5))


def understand(words: Sequence[Word], total: int, *, most_parted: int) -> tuple[Group, ...]:
    """The groups of these words, without those that no document has.

    most_parted: a word that documents have is not looked for as two when that could lead to more documents than this:
    whether the two stand together is seen only in each document.
    """
    groups: list[Group] = []
    place = 0
    while place < len(words):
        word = words[place]
        terms = tuple(_term(each, total) for each in words[place : place + 2] if each.documents)
        # As two words they lead somewhere only when there are both.
        terms = terms if len(terms) == 2 else ()
        if word.joined_documents > _SELDOM * min((term.documents for term in terms), default=0):
            worth = pair_weight(*terms) if terms else weight(word.joined_documents, total)
            groups.append(Group(terms, Term(word.joined, word.joined_documents, worth)))
            place += 2
            continue
        place += 1
        terms = (_term(word, total),) if word.documents else ()
        parts = None
        if word.parted_documents and (not terms or word.documents + word.parted_documents <= most_parted):
            worth = terms[0].weight if terms else weight(word.parted_documents, total)
            parts = Parts(word.left_part, word.right_part, word.parted_documents, worth)
        if terms or parts is not None:
            likely = word.likely_documents
            slip = Term(word.likely, likely, weight(likely, total)) if likely else None
            groups.append(Group(terms, slip, None if slip else parts))
    return tuple(groups)


def pair_weight(one: Term, other: Term) -> float:
    """What two neighbours of the query are worth where they are neighbours: each of them, and half of the lighter one
    (after Rasolofo and Savoy, 2003).
    """
    return one.weight + other.weight + NEARNESS * min(one.weight, other.weight)


def parts_of(word: Word) -> Parts:
    """The two words that it may be."""
    return Parts(word.left_part, word.right_part, word.parted_documents, 0)


def unknown(words: Sequence[Word]) -> list[int]:
    """The places of the words that no document has, in whichever spelling."""
    places = []
    for place, word in enumerate(words):
        is_joined = bool(word.joined_documents) or (place > 0 and bool(words[place - 1].joined_documents))
        if word.lexeme and not word.documents and not word.parted_documents and not is_joined:
            places.append(place)
    return places


def doubtful(words: Sequence[Word], total: int) -> list[int]:
    """The places of the words that so few documents have that they may be somebody's slip: whose, nobody knows."""
    return [place for place, word in enumerate(words) if 0 < word.documents <= max(1, total * SLIP_SHARE)]


def is_slip_of(word: Word, documents: int) -> bool:
    """Whether it is likely a slip of a word that so many documents have."""
    return word.documents <= documents * _SELDOM


def quoted(lexeme: str) -> str:
    """The lexeme as it stands in a tsquery's text."""
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def _term(word: Word, total: int) -> Term:
    return Term(word.lexeme, word.documents, weight(word.documents, total))
