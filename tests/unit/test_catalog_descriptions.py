"""Descriptions: text stays, harmless HTML stays, and nothing that runs or loads unasked gets through."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marketd.catalog.descriptions import clean_html, safe_html

_VALUE = r'="[^"<>]*"'
_TAG = re.compile(
    rf'</?[a-z][a-z0-9]*(?: (?:href{_VALUE} rel="nofollow noopener"|'
    rf"(?:src|alt|width|height|colspan|rowspan|start){_VALUE}))*>"
)


@pytest.mark.parametrize("text", ["", "Plain & simple", "7 > 5", 'Length, 12" with 2.5"', "Tom &amp; Jerry", "a\n\nb"])
def test_text_without_markup_comes_back_unchanged(text: str) -> None:
    assert safe_html(text) == text


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("<p>One <b>two</b></p>\n<ul><li>three</li></ul>", "<p>One <b>two</b></p>\n<ul><li>three</li></ul>"),
        ("<h2>Care</h2><ol start=3><li>Wash</ol>", '<h2>Care</h2><ol start="3"><li>Wash</li></ol>'),
        (
            "<table class=x><tr><th colspan=2 style='x'>Size<td>L</table>",
            '<table><tbody><tr><th colspan="2">Size</th><td>L</td></tr></tbody></table>',
        ),
        ("5 < 6", "5 &lt; 6"),
        ("a<script>alert(1)</script>b", "ab"),
        ("a<SCRIPT >x</script >b", "ab"),
        ("a<style>p{}</style>b<!-- c -->d", "abd"),
        ("a<script>never closed", "a"),
        ('<p onclick="x()" style="y">z</p>', "<p>z</p>"),
        ('<img src=x onerror="x()">t', "t"),
        ('<img src="data:image/png;base64,AA">t', "t"),
        ('<img alt="A &gt; B" src=https://a.b/c.png width=10 height=5% style=x>', None),
        ('<img src="//cdn.example/a.png">', '<img src="https://cdn.example/a.png">'),
        ('<img src="http://cdn.example/a.png">', '<img src="https://cdn.example/a.png">'),
        (
            '<a href="https://a.b/?x=1&amp;y=2">l</a>',
            '<a href="https://a.b/?x=1&amp;y=2" rel="nofollow noopener">l</a>',
        ),
        ("<a title=x href='//a.b/'>l</a>", '<a href="https://a.b/" rel="nofollow noopener">l</a>'),
        ("<a href='javascript:x()'>l</a>", "<a>l</a>"),
        ('<a href="java&#115;cript:x()">l</a>', "<a>l</a>"),
        ('<a href="data:text/html,x">l</a>', "<a>l</a>"),
        ('<a href="/pages/size-chart">l</a>', "<a>l</a>"),
        ("<a href=mailto:a@b.c>l</a>", '<a href="mailto:a@b.c" rel="nofollow noopener">l</a>'),
        ("<a href=tel:+493012>l</a>", '<a href="tel:+493012" rel="nofollow noopener">l</a>'),
        ("<p><b>open", "<p><b>open</b></p>"),
        ("<b><i>x</b>y</i>", "<b><i>x</i></b><i>y</i>"),
        ("<scr<script>ipt>x", "ipt&gt;x"),
        ("x<br/>y<hr>", "x<br>y<hr>"),
        ("<svg><script>x</script></svg>k", "k"),
        ("<math><mi><p>k</p></mi></math>", None),
        ("<pre>\n\nx</pre>", "<pre>\n\nx</pre>"),
        ("<form><h1>a<form><h1>b", None),
    ],
)
def test_only_harmless_html_is_kept(dirty: str, clean: str | None) -> None:
    cleaned = safe_html(dirty)
    assert clean is None or cleaned == clean
    assert "<" not in _TAG.sub("", cleaned)
    assert safe_html(cleaned) == cleaned


@pytest.mark.parametrize(
    ("dirty", "dropped"),
    [
        ("<p>a</p>", ()),
        ("<p>a<script>x</script><svg></svg></p>", ()),
        (
            "a<iframe src='https://v.example'></iframe><IFRAME></IFRAME><video></video>",
            ("an embedded page or video", "a video"),
        ),
        ("<p>a</p><img src='blob:x'>", ("a picture that has no https address",)),
        ("<a href='/collections/all'>all</a>", ("a link that leads nowhere without the shop it came from",)),
        ("<a href='https://a.b'>all</a>", ()),
        ("<a name=top>all</a>", ()),
    ],
)
def test_what_a_person_would_miss_is_told(dirty: str, dropped: tuple[str, ...]) -> None:
    assert clean_html(dirty).dropped == dropped


_PIECES = (
    *"<>/!-=\"' abp\n&;", "<p>", "<li>", "<b>", "</b>", "<a href=", "https://a.b/", "<img src=", "<table>", "<td>",
    "<pre>", "<script>", "</script>", "<svg>", "<math>", "<form>", "<h1>", "<select>", "<style>",
    "<!--", "<template>", "&lt;",
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=30))
def test_what_leaves_are_known_tags_and_text_and_cleaning_twice_changes_nothing(pieces: list[str]) -> None:
    cleaned = safe_html("".join(pieces))
    assert "<" not in _TAG.sub("", cleaned)
    assert safe_html(cleaned) == cleaned


@pytest.mark.parametrize(
    "piece",
    ["<!--", "<script", "<a href=", "<a x", "<", "<b>", "</", "<![CDATA[", "<a href=' '", "<div>", "<ul><li>", "<x>"],
)
def test_hostile_input_takes_no_longer_than_any_other(piece: str) -> None:
    begin = time.process_time()
    safe_html(piece * (524_288 // len(piece)))
    assert time.process_time() - begin < 2


def test_deep_markup_becomes_its_text() -> None:
    cleaned = clean_html("<div>" * 500 + "1 & <b>2</b>")
    assert (cleaned.text, len(cleaned.dropped)) == ("1 &amp; 2", 1)
    assert safe_html("<div>" * 100 + "x") == "<div>" * 100 + "x" + "</div>" * 100
