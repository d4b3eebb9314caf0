"""Texts that people write: what is taken out of those of others, and when two names are one."""

from __future__ import annotations

import pytest
from marketd.kernel.values.texts import mended_text, name_key, slug_of, text_problem


@pytest.mark.parametrize(
    ("text", "line", "lines"),
    [
        ("plain", "plain", "plain"),
        ("two\r\nlines", "two lines", "two\r\nlines"),
        ("a\ttab", "a tab", "a\ttab"),
        ("a\u2028b\u2029c", "a b c", "a\u2028b\u2029c"),
        ("a\x85b\x0bc", "a b c", "abc"),
        ("bell\x07 and \x9f", "bell and ", "bell and "),
        ("exe.\u202egnp", "exe.gnp", "exe.gnp"),
        ("\u2066isolated\u2069", "isolated", "isolated"),
        ("\u200b\u2060", "", ""),
        (" \u2800\u3164", "", ""),
        ("\n\n", "", ""),
        ("a\u200db", "a\u200db", "a\u200db"),
    ],
)
def test_what_is_mended_has_nothing_left_to_name_and_keeps_the_rest(text: str, line: str, lines: str) -> None:
    assert mended_text(text) == line
    assert mended_text(text, lines=True) == lines
    for mended, may_have_lines in ((line, False), (lines, True)):
        assert mended == "" or text_problem(mended, lines=may_have_lines) == ""


@pytest.mark.parametrize(
    ("text", "line", "lines"),
    [
        ("", "must not be blank", "must not be blank"),
        ("\u3164", "must not be blank", "must not be blank"),
        ("a\nb", "must be a single line", ""),
        ("a\tb", "must not contain a tab", ""),
        ("a\x00b", "must not contain control characters such as U+0000", "=="),
        ("a\u202eb", "must not contain U+202E, which turns the direction of text", "=="),
        ("a\u2069b", "must not contain U+2069, which turns the direction of text", "=="),
        ("fa\u00e7ade \U0001f600", "", ""),
    ],
)
def test_what_is_wrong_with_a_text_is_said(text: str, line: str, lines: str) -> None:
    assert text_problem(text) == line
    assert text_problem(text, lines=True) == (line if lines == "==" else lines)


def test_names_that_read_alike_are_one() -> None:
    assert (
        len({name_key(text) for text in ("Stra\u00dfe 7", " STRASSE\u00a07 ", "stra\u00dfe\u200d 7", "Strasse\t7")})
        == 1
    )
    assert name_key("Caf\u00e9") == name_key("cafe\u0301") == name_key("CAF\u00c9")
    assert name_key("a b") != name_key("ab")
    assert name_key("\u2460") != name_key("1")


def test_a_slug_is_cut_without_a_hyphen_at_its_end() -> None:
    assert slug_of("one two", 4) == "one"
    assert slug_of("--It's -- here!", 50) == "its-here"
    assert slug_of("...", 50) == ""
