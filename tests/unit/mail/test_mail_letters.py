"""What letters say: every template renders, values are data, and a message is one that mail programs read."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from jinja2 import TemplateNotFound, UndefinedError
from marketd.mail.compose import compose, sender_address
from marketd.mail.errors import MailMisconfigured, MessageRefused
from marketd.mail.ports import Letter
from marketd.mail.render import Content, Renderer, Shop, Wording

SHOP = Shop("Tante Emma & Co", "help@emma.example", "https://emma.example/reset?t={token}")
VALUES = {
    "name": "Zoë O'Neil",
    "code": "482913",
    "minutes": "10",
    "token": "abc/def+1",
    "time": "2026-11-22T22:40:05+00:00",
    "shop_name": "Käse & Mehr",
    "change": "suspended",
    "device": "Firefox on Linux",
    "address": "203.0.113.9",
    "reason": "Fraud report 17",
}


def composed(content: Content, to: str = "zoe@example.com") -> Letter:
    return compose(
        content,
        letter_id="0190",
        template="verification_code",
        sender=sender_address("shop@emma.example", "Tante Emma & Co"),
        to=to,
        now=datetime(2026, 11, 22, 22, 40, tzinfo=UTC),
    )


def read_back(letter: Letter) -> EmailMessage:
    return message_from_bytes(letter.message.as_bytes(), policy=default)


@pytest.mark.parametrize("wording", Wording)
def test_every_letter_names_the_shop_and_greets_in_text_and_html(wording: Wording) -> None:
    content = Renderer(SHOP).letter(wording, "en", VALUES)
    assert "Tante Emma & Co" in content.text
    assert "Tante Emma &amp; Co" in content.html
    assert content.subject
    assert "\n" not in content.subject
    assert content.text.startswith("Hello Zoë O'Neil,")
    assert "Hello Zoë O&#39;Neil," in content.html
    assert "help@emma.example" in content.text
    assert "{{" not in content.text + content.html


@pytest.mark.parametrize("wording", Wording)
def test_no_letter_needs_more_than_its_marked_values(wording: Wording) -> None:
    needed = {name: VALUES[name] for name in ("code", "token", "time", "shop_name", "change")}
    content = Renderer(Shop("Shop")).letter(wording, "en", needed)
    assert "Hello" not in content.text
    assert "None" not in content.text + content.html


def test_a_change_of_the_address_is_taken_back_by_a_link_where_there_is_a_page_and_else_by_the_token() -> None:
    values = {**VALUES, "hours": "72", "email": "z…@mail.example"}
    shop = Shop(
        "Shop", reset_url="https://emma.example/reset?t={token}", undo_url="https://emma.example/undo#t={token}"
    )
    link = "https://emma.example/undo#t=abc%2Fdef%2B1"
    with_page = Renderer(shop).letter(Wording.EMAIL_CHANGED, "en", values)
    assert all(link in part and "72 hours" in part for part in (with_page.text, with_page.html))
    assert "abc/def+1" not in with_page.text + with_page.html
    without = Renderer(Shop("Shop")).letter(Wording.EMAIL_CHANGED, "en", values)
    assert all("abc/def+1" in part and "https://" not in part for part in (without.text, without.html))
    del values["token"]  # a change that cannot be taken back by this letter
    told = Renderer(shop).letter(Wording.EMAIL_CHANGED, "en", values)
    assert "72 hours" not in told.text + told.html
    assert "https://" not in told.text


def test_who_loses_an_address_by_an_undo_is_not_sent_to_a_password_that_is_void() -> None:
    values = {**VALUES, "undone": "true", "email": "z…@mail.example"}
    del values["token"]
    told = Renderer(SHOP).letter(Wording.EMAIL_CHANGED, "en", values)
    for part in (told.text, told.html):
        assert "taken back" in part
        assert "change your password now" not in part
        assert "was given another" not in part


@pytest.mark.parametrize("shop", [SHOP, Shop("Shop")])
def test_a_reset_after_an_undo_does_not_say_that_the_password_stays(shop: Shop) -> None:
    asked = Renderer(shop).letter(Wording.PASSWORD_RESET, "en", VALUES)
    undone = Renderer(shop).letter(Wording.PASSWORD_RESET, "en", {**VALUES, "undone": "true"})
    for was_asked, was_undone in ((asked.text, undone.text), (asked.html, undone.html)):
        assert "your password stays as it is" in was_asked
        for word in ("your password stays as it is", "asked for"):
            assert word not in was_undone
        assert "of no use any" in was_undone


def test_who_is_blocked_reads_what_becomes_of_orders_shop_and_deliveries() -> None:
    content = Renderer(SHOP).letter(Wording.ACCOUNT_BLOCKED, "en", VALUES)
    for part in (" ".join(content.text.split()), content.html):
        assert "ordered and paid for is not lost" in part
        assert "orders that are not ready are cancelled and paid back" in part
        assert "courier here, you are suspended" in part


def test_the_code_stands_in_subject_text_html_and_sms() -> None:
    renderer = Renderer(SHOP)
    content = renderer.letter(Wording.VERIFICATION_CODE, "en", VALUES)
    _, _, page = content.html.partition("<body")  # the title above it is the subject once more
    assert all("482913" in part for part in (content.subject, content.text, page))
    short = renderer.sms(Wording.VERIFICATION_CODE, "en", VALUES)
    assert short.startswith("482913 is your Tante Emma & Co code.")
    assert "10 minutes" in short
    assert len(short) <= 160


def test_a_reset_shows_a_link_where_there_is_a_page_and_the_token_where_there_is_none() -> None:
    link = "https://emma.example/reset?t=abc%2Fdef%2B1"
    with_page = Renderer(SHOP).letter(Wording.PASSWORD_RESET, "en", VALUES)
    assert link in with_page.text
    assert f'href="{link}"' in with_page.html
    without = Renderer(Shop("Shop")).letter(Wording.PASSWORD_RESET, "en", VALUES)
    assert "abc/def+1" in without.text
    assert "abc/def+1" in without.html


def test_values_cannot_bring_markup_or_template_code() -> None:
    values = {**VALUES, "device": "<script>alert(1)</script> {{ shop.name }}\x07"}
    content = Renderer(SHOP).letter(Wording.NEW_SIGN_IN, "en", values)
    assert "<script>" not in content.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ shop.name }}" in content.html
    assert "\x07" not in content.text


@pytest.mark.parametrize(
    "name", ["Win at http://evil.example", "www.evil.example", "x" * 50, "a@b.example", "Kim\nBcc: x"]
)
def test_a_name_that_is_an_advertisement_is_not_greeted(name: str) -> None:
    content = Renderer(SHOP).letter(Wording.VERIFICATION_CODE, "en", {**VALUES, "name": name})
    assert "Hello" not in content.text + content.html
    assert "evil" not in content.text + content.html


def test_a_letter_with_a_hole_is_not_written() -> None:
    with pytest.raises(UndefinedError):
        Renderer(SHOP).letter(Wording.VERIFICATION_CODE, "en", {"minutes": "10"})
    with pytest.raises(ValueError, match="no_such"):
        Renderer(SHOP).letter("no_such", "en", VALUES)
    with pytest.raises(TemplateNotFound):
        Renderer(SHOP).sms(Wording.NEW_SIGN_IN, "en", VALUES)


def test_a_shops_own_folder_adds_a_language_and_words_one_letter_anew(tmp_path: Path) -> None:
    for locale, text in (("de", "Dein Code ist {{ code }}\n\n{{ code }}\n"), ("en", "Yo {{ code }}\n\n{{ code }}\n")):
        (tmp_path / locale).mkdir()
        (tmp_path / locale / "verification_code.txt").write_text(text)
    renderer = Renderer(SHOP, tmp_path)
    assert renderer.letter(Wording.VERIFICATION_CODE, "de-AT", VALUES).subject == "Dein Code ist 482913"
    assert renderer.letter(Wording.VERIFICATION_CODE, "fr", VALUES).subject == "Yo 482913"
    assert (
        renderer.letter(Wording.PASSWORD_CHANGED, "de", VALUES).subject == "Your Tante Emma & Co password was changed"
    )


@pytest.mark.parametrize("locale", ["../../etc", "", "en/../..", "x", "de-" + "a" * 99])
def test_a_locale_that_is_none_means_our_own_language(locale: str) -> None:
    assert Renderer(SHOP).letter(Wording.VERIFICATION_CODE, locale, VALUES).locale == "en"


def test_a_shops_template_is_a_text_and_no_program(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en/verification_code.txt").write_text("{{ shop.__class__.__mro__ }}\n\nx\n")
    with pytest.raises(Exception, match="unsafe"):
        Renderer(SHOP, tmp_path).letter(Wording.VERIFICATION_CODE, "en", VALUES)


def test_a_composed_letter_reads_back_with_both_forms_and_its_headers() -> None:
    letter = read_back(composed(Renderer(SHOP).letter(Wording.VERIFICATION_CODE, "en", VALUES)))
    assert letter["From"] == "Tante Emma & Co <shop@emma.example>"
    assert letter["To"] == "zoe@example.com"
    assert letter["Message-ID"] == "<0190@emma.example>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in letter.iter_parts()] == ["text/plain", "text/html"]
    for kind in ("plain", "html"):
        body = letter.get_body((kind,))
        assert body is not None
        assert "482913" in body.get_content()


@pytest.mark.parametrize("to", ["", "nobody", "a@b\r\nBcc: everybody@example.com", "a@b, c@d"])
def test_a_recipient_that_is_no_address_is_refused(to: str) -> None:
    with pytest.raises(MessageRefused):
        composed(Content("s", "t", "h", "en"), to)


def test_the_sender_may_have_a_name_of_its_own_and_must_be_an_address() -> None:
    assert str(sender_address("Emma <e@emma.example>", "Shop")) == "Emma <e@emma.example>"
    with pytest.raises(MailMisconfigured):
        sender_address("nobody", "Shop")


def test_what_is_not_ascii_travels_through_servers_that_know_nothing_else() -> None:
    renderer = Renderer(Shop("Käse & Söhne"))
    letter = composed(renderer.letter(Wording.PASSWORD_CHANGED, "en", VALUES))
    head, _, _ = letter.message.as_bytes().partition(b"\r\n\r\n")
    assert head.isascii()
    assert read_back(letter)["Subject"] == "Your Käse & Söhne password was changed"
