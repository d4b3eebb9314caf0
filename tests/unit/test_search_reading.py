"""How the words of a query are understood and corrected, and which band is looked into: pure rules."""

from __future__ import annotations

import random
from uuid import uuid4

import pytest
from marketd.catalog.search import bands, correcting, reading
from marketd.catalog.search.model import fitting_sample
from marketd.catalog.search.reading import Group, Parts, Reading, Term, Word
from marketd.catalog.search.repository.leads import Lead, can_walk, in_band, lead_of
from marketd.catalog.search.values import SearchQuery
from marketd.kernel.db.sql import Arguments

TOTAL = 1000


def word(text: str, documents: int, **more: object) -> Word:
    return Word(text, text, documents, **more)  # type: ignore[arg-type]


def understood(*words: Word) -> tuple[Group, ...]:
    return reading.understand(words, TOTAL, most_parted=50)


def test_a_word_weighs_more_the_fewer_have_it() -> None:
    weights = [reading.weight(documents, TOTAL) for documents in (1, 10, 100, 999, 1000, 1001)]
    assert weights == sorted(weights, reverse=True)
    assert min(weights) > 0


def test_neighbours_stand_for_one_word_and_are_worth_as_much_as_side_by_side() -> None:
    head, headset = word("head", 100, joined="headset", joined_documents=30), word("set", 50)
    (group,) = understood(head, headset)
    assert [term.lexeme for term in group.terms] == ["head", "set"]
    assert group.joined == Term("headset", 30, reading.pair_weight(*group.terms))
    assert group.tsquery == "(('head' & 'set') | ('headset'))"
    assert group.documents == 50 + 30


def test_neighbours_of_which_one_is_unknown_stand_only_for_the_one_word() -> None:
    (group,) = understood(word("tooth", 0, joined="toothbrush", joined_documents=3), word("brush", 9))
    assert (group.terms, group.tsquery) == ((), "(('toothbrush'))")


def test_what_hardly_anybody_writes_as_one_word_is_left_alone() -> None:
    groups = understood(word("laser", 500, joined="laserprinter", joined_documents=4), word("printer", 600))
    assert [group.joined for group in groups] == [None, None]


def test_a_word_stands_for_two_when_that_leads_to_few() -> None:
    parted = {"left_part": "wi", "right_part": "fi", "parted_documents": 20}
    assert understood(word("wifi", 30, **parted))[0].parts == Parts("wi", "fi", 20, reading.weight(30, TOTAL))
    assert understood(word("wifi", 31, **parted))[0].parts is None
    unknown = understood(word("wifi", 0, **{**parted, "parted_documents": 900}))[0]
    assert unknown.tsquery == "(('wi' <-> 'fi'))"


def test_unknown_are_the_words_that_lead_nowhere_in_any_spelling() -> None:
    words = [
        word("tooth", 0, joined="toothbrush", joined_documents=3),
        word("brush", 0),
        word("wifi", 0, left_part="wi", right_part="fi", parted_documents=3),
        Word("the", "", 0),
        word("kebyoard", 0),
        word("tent", 3),
    ]
    assert reading.unknown(words) == [4]
    assert [group.tsquery for group in understood(*words)] == ["(('toothbrush'))", "(('wi' <-> 'fi'))", "(('tent'))"]


def test_a_word_that_hardly_any_document_has_may_be_a_slip_and_is_worth_more_as_it_is() -> None:
    rare = word("controllr", 1, likely="control", likely_documents=100)
    (group,) = understood(rare)
    assert group.joined == Term("control", 100, reading.weight(100, TOTAL))
    assert group.terms[0].weight > group.joined.weight
    assert reading.doubtful([word("a", 0), word("b", 1), word("c", 2)], TOTAL) == [1]
    assert reading.doubtful([word("b", 20), word("c", 21)], 100_000) == [0]
    assert reading.is_slip_of(rare, 100)
    assert not reading.is_slip_of(rare, 99)


def test_any_of_the_words_leaves_out_those_that_nearly_all_have() -> None:
    groups = understood(word("chess", 3), word("set", 40), word("black", 400))
    every = Reading(groups, TOTAL)
    assert every.tsquery == "(('chess')) & (('set')) & (('black'))"
    assert every.documents == 3
    any_word = every.by_any(3)
    assert any_word.tsquery == f"({every.tsquery}) | (('chess')) | (('set'))"
    assert any_word.documents == 43
    only_broad = Reading(understood(word("black", 400), word("white", 300)), TOTAL).by_any(3)
    assert only_broad.any_words == "(('black')) | (('white'))"
    most = Reading(understood(word("chess", 3), word("thing", 501), word("item", 900)), TOTAL)
    assert (most.seldom_words, most.mostly_words) == ("(('chess'))", "(('thing')) & (('item'))")
    assert (every.seldom_words, every.mostly_words) == (every.tsquery, "")
    only_most = Reading(understood(word("thing", 501), word("item", 900)), TOTAL)
    assert (only_most.seldom_words, only_most.mostly_words) == ("(('thing'))", "(('item'))")
    assert every.rarest_words(2) == ("(('chess')) & (('set'))", "(('black'))")
    none_whole = every.by_any(0)
    assert none_whole.tsquery == none_whole.any_words == "(('chess')) | (('set'))"


@pytest.mark.parametrize(
    ("words", "filters", "lead"),
    [
        (1_000_000, None, Lead.BOTH),
        (1_000_000, 500, Lead.FILTERS),
        (2_000, 400_000, Lead.WORDS),
        (30_000, 40_000, Lead.BOTH),
    ],
)
def test_who_finds_least_leads(words: float, filters: float | None, lead: Lead) -> None:
    assert lead_of(words, filters, 1_000_000) is lead


def test_one_brand_is_walked_for_a_word_that_hardly_passes_one_over() -> None:
    one, two = (uuid4(),), (uuid4(), uuid4())
    assert can_walk(SearchQuery("black", brand_ids=one), 250, 1_000)
    assert can_walk(SearchQuery("black", seller_ids=one), 250, 1_000)
    assert not can_walk(SearchQuery("black", brand_ids=one), 249, 1_000)
    assert not can_walk(SearchQuery("black", brand_ids=two), 250, 1_000)
    assert not can_walk(SearchQuery("black", brand_ids=one, in_stock=True), 250, 1_000)
    assert not can_walk(SearchQuery("black"), 250, 1_000)


def test_a_front_says_of_a_band_what_its_index_can_say() -> None:
    found = {band: (in_band(band, arguments := Arguments()), list(arguments)) for band in (0, 3, 4, 7)}
    assert found[0] == ([], [])
    assert found[3] == (["d.bands @> '{3}'::smallint[]"], [])
    assert found[4] == (["(d.bands @> ARRAY[$1::smallint]) IS TRUE", "d.bands @> '{3}'::smallint[]"], [4])
    assert found[7] == (["d.bands @> ARRAY[$1::smallint]", "d.bands @> '{5}'::smallint[]"], [7])


def test_a_sample_has_about_as_many_as_are_wanted() -> None:
    assert [fitting_sample(documents, 2_500) for documents in (10_000, 40_001, 1_000_000, 9_000_000)] == [
        16,
        32,
        512,
        1024,
    ]


def test_lexemes_are_quoted() -> None:
    assert reading.quoted("o'neill\\") == "'o''neill\\\\'"


@pytest.mark.parametrize(
    ("one", "other", "slips"),
    [
        ("tent", "tent", 0),
        ("tent", "tents", 1),
        ("tnet", "tent", 1),
        ("tant", "tent", 1),
        ("ten", "tent", 1),
        ("ca", "abc", 3),
        ("kebyoadr", "keyboard", 2),
        ("", "abc", 3),
        ("abc", "", 3),
    ],
)
def test_slips_are_counted(one: str, other: str, slips: int) -> None:
    assert correcting.distance(one, other) == correcting.distance(other, one) == slips


def test_one_slip_makes_exactly_what_is_one_slip_away() -> None:
    made = correcting.one_slip("stove")
    assert all(correcting.distance("stove", other) == 1 for other in made)
    pick = random.Random(13)  # noqa: S311 - the same words every time
    letters = "stoveabxyz"
    others = {"".join(pick.choices(letters, k=pick.randint(4, 6))) for _ in range(5000)}
    assert {other for other in others if correcting.distance("stove", other) == 1} <= made


def test_the_fewest_slips_then_the_first_letter_then_the_most_frequent_was_meant() -> None:
    assert correcting.best("keybord", {"keyboard": 1, "keyboards": 900}) == "keyboard"
    assert correcting.best("lamb", {"lamp": 5, "limb": 50, "jamb": 900}) == "limb"
    assert correcting.best("backpakc", {"backpack": 3, "blackjack": 90}) == "backpack"
    assert correcting.best("tnet", {"net": 90, "tent": 9}) == "tent"
    # Two slips in a short word would make anything of it.
    assert correcting.best("tnte", {"tent": 9, "tote": 9}) == "tote"
    assert correcting.best("xyz", {"tent": 9}) == ""
    assert correcting.best("xyz", {}) == ""


def test_codes_and_short_words_are_not_corrected() -> None:
    assert correcting.is_correctable("tnet")
    assert not any(map(correcting.is_correctable, ("ab", "kb87", "12345", "a-b", "", "x" * 41)))


def test_the_band_is_as_high_as_it_may_be_and_falls_to_all() -> None:
    sizes = [1_000_000 / 2**band for band in range(bands.COUNT + 1)]
    assert bands.fitting(900_000, sizes, 1000) == 9
    assert bands.fitting(8_100, sizes, 1000) == 3
    assert bands.fitting(7_900, sizes, 1000) == 0  # the half and the quarter have no index of their own
    assert bands.fitting(900, sizes, 1000) == 0
    assert bands.fitting(0, sizes, 1000) == 0
    assert bands.fitting(5_000, [20_000], 1000) == 0
    assert bands.lower(9, 250, sizes, 1000) == 7
    assert bands.lower(9, 999, sizes, 1000) == 8
    assert bands.lower(9, 1, sizes, 1000) == 0
    assert bands.lower(9, 0, sizes, 1000) == 5
    assert bands.lower(6, 0, sizes, 1000) == 0
    assert [bands.front_of(band) for band in (0, 2, 3, 4, 5, 7, 8, 24)] == [0, 0, 3, 3, 5, 5, 8, 8]
    for band in range(1, bands.COUNT):
        assert bands.lower(band, 10, sizes, 1000) < band
