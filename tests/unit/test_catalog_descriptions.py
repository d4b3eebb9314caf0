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
        ('<img src="HTTP://cdn.example/a.png">', '<img src="https://cdn.example/a.png">'),
        ('<img src="mailto:a@b.c">t', "t"),
        (
            '<a href="https://a.b/?x=1&amp;y=2">l</a>',
            '<a href="https://a.b/?x=1&amp;y=2" rel="nofollow noopener">l</a>',
        ),
        ("<a title=x href='//a.b/'>l</a>", '<a href="https://a.b/" rel="nofollow noopener">l</a>'),
        ("<a href='javascript:x()'>l</a>", "<a>l</a>"),
        # An address that is taken stands at the beginning, not somewhere in another one.
        ("<a href='javascript:open(\"https://a.b/\")'>l</a>", "<a>l</a>"),
        ('<a href="/go?to=https://a.b/">l</a>', "<a>l</a>"),
        ('<a href="x mailto:a@b.c">l</a>', "<a>l</a>"),
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


@pytest.mark.parametrize(
    "dirty", ["<li><table><li>", "<h1><b><br><h1></b>", "<h1><a href='https://x/'></b><h1></a></p>"]
)
def test_what_a_parser_moves_is_moved_at_once(dirty: str) -> None:
    cleaned = safe_html(dirty)
    assert safe_html(cleaned) == cleaned


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=30))
def test_what_leaves_are_known_tags_and_text_and_cleaning_twice_changes_nothing(pieces: list[str]) -> None:
    cleaned = safe_html("".join(pieces))
    assert "<" not in _TAG.sub("", cleaned)
    assert safe_html(cleaned) == cleaned


@pytest.mark.parametrize(
    "piece",
    [
        *("<!--", "<script", "<a href=", "<a x", "<", "<b>", "</", "<![CDATA[", "<a href=' '", "<div>", "<ul><li>"),
        "<x>",
        # What closes nothing, or stands where nothing closes.
        *("<div></x>", "<div><!--</div>-->", '<b title="</b>">', "<li><dd>", "<svg><td>", "<h1><div><h2></h1>"),
    ],
)
@pytest.mark.parametrize(
    ("length", "most_seconds"), [(131_072, 0.5), pytest.param(524_288, 2, marks=pytest.mark.faults)]
)
def test_hostile_input_takes_no_longer_than_any_other(piece: str, length: int, most_seconds: float) -> None:
    """In the long form with four times the text, which may take four times as long."""
    begin = time.process_time()
    safe_html(piece * (length // len(piece)))
    assert time.process_time() - begin < most_seconds


def test_emphasis_that_is_left_open_is_not_opened_anew_without_end() -> None:
    text = "<p>" + "".join(f"<b id={number}>" for number in range(190)) + "<p>x" * 10_000
    assert len(safe_html(text)) < 2 * len(text)


def test_of_markup_that_is_nested_too_deep_the_text_stays() -> None:
    cleaned = clean_html("<div>" * 500 + "1 & <b>2</b>")
    assert (re.sub("<[^<>]*>", "", cleaned.text), len(cleaned.dropped)) == ("1 &amp; 2", 1)
    assert safe_html(cleaned.text) == cleaned.text
    assert safe_html("<div>" * 100 + "x") == "<div>" * 100 + "x" + "</div>" * 100


def test_what_word_processors_leave_in_comments_is_no_depth() -> None:
    styles = '<w:LsdException Locked="false" Name="Normal"/>' * 300
    cleaned = clean_html(f"<!--[if gte mso 9]><xml>{styles}</xml><![endif]--><p>Soft <b>wool</b></p>")
    assert (cleaned.text, cleaned.dropped) == ("<p>Soft <b>wool</b></p>", ())


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("<ul><li>1<li>2</ul><p>3<p>4", "<ul><li>1</li><li>2</li></ul><p>3</p><p>4</p>"),
        ("<table><tr><td>1<td>2<tr><td>3</table>4", None),
        ("<svg><title>t</title></svg>1 < 2 & 3<style>p{}</style>", "1 &lt; 2 &amp; 3"),
        ("<dl><dt>1<dd>2<dt>3</dl>", "<dl><dt>1</dt><dd>2</dd><dt>3</dt></dl>"),
        ("<span><a href='https://a.b/?x=1&amp;y=2' onclick=x()>1</a></span>", None),
        ("<img alt='1 \" 2' src=https://a.b/c.png>", None),
    ],
)
def test_long_texts_are_cleaned_as_short_ones_are(dirty: str, clean: str | None) -> None:
    assert safe_html("<font>x</font>" + dirty * 150) == "x" + (clean or safe_html(dirty)) * 150
