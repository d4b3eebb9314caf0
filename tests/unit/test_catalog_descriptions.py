"""Descriptions: text stays, harmless HTML stays, and nothing that runs or loads gets through."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marketd.catalog.descriptions import safe_html

_TAG = re.compile(r"</?[a-z0-9]+( href=\"[^\"<>]*\" rel=\"nofollow noopener\")?>")


@pytest.mark.parametrize("text", ["", "Plain & simple", "7 > 5", 'Length, 12" with 2.5"', "Tom &amp; Jerry", "a\n\nb"])
def test_text_without_markup_comes_back_unchanged(text: str) -> None:
    assert safe_html(text) == text


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("<p>One <b>two</b></p>\n<ul><li>three</li></ul>", "<p>One <b>two</b></p>\n<ul><li>three</li></ul>"),
        ("5 < 6", "5 &lt; 6"),
        ("a<script>alert(1)</script>b", "ab"),
        ("a<SCRIPT >x</script >b", "ab"),
        ("a<style>p{}</style>b<!-- c -->d", "abd"),
        ("a<script>never closed", "a"),
        ('<p onclick="x()" style="y">z</p>', "<p>z</p>"),
        ('<img src=x onerror="x()">t', "t"),
        (
            '<a href="https://a.b/?x=1&amp;y=2">l</a>',
            '<a href="https://a.b/?x=1&amp;y=2" rel="nofollow noopener">l</a>',
        ),
        ("<a href='javascript:x()'>l</a>", "<a>l</a>"),
        ('<a href="java&#115;cript:x()">l</a>', "<a>l</a>"),
        ("<a href=mailto:a@b.c>l</a>", '<a href="mailto:a@b.c" rel="nofollow noopener">l</a>'),
        ("<p><b>open", "<p><b>open</b></p>"),
        ("<b><i>x</b>y</i>", "<b><i>x</i></b>y"),
        ("<scr<script>ipt>x", "ipt>x"),
        ("x<br/>y<hr>", "x<br>y<hr>"),
        ("<svg><script>x</script></svg>k", "k"),
    ],
)
def test_only_harmless_html_is_kept(dirty: str, clean: str) -> None:
    assert safe_html(dirty) == clean


@given(st.text(alphabet=st.sampled_from(list("<>/!-=\"' abpscript&;hrefot:")), max_size=80))
def test_what_leaves_are_our_own_tags_and_text_and_cleaning_twice_changes_nothing(text: str) -> None:
    cleaned = safe_html(text)
    assert "<" not in _TAG.sub("", cleaned)
    assert safe_html(cleaned) == cleaned


@pytest.mark.parametrize("piece", ["<!--", "<script", "<a href=", "<", "<b>", "</", "<![CDATA[", "<a href=' '"])
def test_hostile_input_takes_no_longer_than_any_other(piece: str) -> None:
    begin = time.process_time()
    safe_html(piece * (65536 // len(piece)))
    assert time.process_time() - begin < 1
