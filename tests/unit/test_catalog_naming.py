"""Names in the catalog: slugs that always fit, and keys that compare what people mean."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marketd.catalog.names import options_key, slugify, title_key
from marketd.kernel.values.texts import name_key, slug_of

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Ocean Blue Shirt", "ocean-blue-shirt"),
        ("  Käthe & Söhne's Café — No. 3 ", "kathe-sohnes-cafe-no-3"),
        ("Straße", "strasse"),
        ("F\u0131st\u0131k", "fistik"),
        ("İstanbul", "istanbul"),
        ("Đakovo", "dakovo"),
        ("Þór & Łódź", "thor-lodz"),
        ("Smørrebrød", "smorrebrod"),
        ("Smo\u0308rebro\u0308d", "smorebrod"),
        ("Ελλάδα", "ellada"),
        ("Ожерелья", "ozherelya"),
        ("東京", "dongjing"),
        ("ocean-blue-shirt", "ocean-blue-shirt"),
    ],
)
def test_a_slug_is_made_from_the_letters_of_a_name(name: str, slug: str) -> None:
    assert slugify(name, "product") == slug


@given(st.text(max_size=400))
def test_every_name_has_a_slug_that_fits(name: str) -> None:
    slug = slugify(name, "product")
    assert _SLUG.fullmatch(slug)
    assert len(slug) <= 240
    assert slugify(name, "product") == slug


def test_names_without_letters_have_slugs_of_their_own() -> None:
    assert slugify("—", "category") != slugify("…", "category")
    assert slugify("—", "category").startswith("category-")


def test_slugs_end_with_a_letter_wherever_they_are_cut() -> None:
    assert slug_of("ab cd", 3) == "ab"
    assert slug_of("—", 3) == ""


def test_names_are_equal_without_regard_to_case_and_spaces() -> None:
    assert name_key("  Company   123 ") == name_key("company 123")
    assert name_key("Käthe") == name_key("KA\u0308THE")
    assert name_key("Käthe") != name_key("Kathe")


def test_titles_sort_without_accents_and_case() -> None:
    titles = ["Zebra", "äpfel", "Apfel", "Birne"]
    assert sorted(titles, key=title_key) == ["äpfel", "Apfel", "Birne", "Zebra"]


@given(st.text(max_size=255))
def test_sort_keys_fit_into_an_index(title: str) -> None:
    assert len(title_key(title).encode()) <= 480
    assert len(name_key(title[:120]).encode()) < 2000


def test_a_choice_is_the_same_in_any_order() -> None:
    assert options_key((("Size", "M"), ("Color", "Blue"))) == options_key((("Color", "Blue"), ("Size", "M")))
    assert options_key((("Size", "M"),)) != options_key((("Size", "L"),))


def test_choices_that_read_the_same_are_one() -> None:
    composed, apart = options_key((("Sorte", "Café"),)), options_key((("SORTE", "Cafe\u0301"),))
    assert composed == apart == options_key((("sorte", " CAFÉ "),))
    assert composed != options_key((("Sorte", "Cafe"),))
