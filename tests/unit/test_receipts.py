"""Receipts: sums that agree in every currency, nothing taxed that was cancelled, and words that bring no markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marketd.kernel.values.address import Address
from marketd.kernel.values.geo import Point
from marketd.kernel.values.tax import tax_in
from marketd.order.model import OrderState
from marketd.order.receipts.convert import to_receipt
from marketd.order.receipts.render import WIDTH, ReceiptRenderer
from marketd.order.receipts.values import receipt_of
from marketd.order.values import Order, OrderItem
from marketplace.order.v1 import receipt_pb2

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOME = Address(
    "Ada Lovelace", "+49301234567", ("Kastanienallee 9", "2. Hof"), "Berlin", "", "10435", "DE",
    Point(52.54, 13.41), "left door", "4", "beware of the dog",
)  # fmt: skip
LINES = st.lists(
    st.tuples(
        st.integers(0, 10**9),  # unit price
        st.integers(1, 20),  # pieces
        st.integers(0, 20),  # of them cancelled
        st.integers(0, 100),  # percent of discount
        st.sampled_from((0, 55_000, 70_000, 190_000, 1_000_000)),
    ),
    min_size=1,
    max_size=6,
)


def item(
    price: int, quantity: int, cancelled: int = 0, discount: int = 0, rate: int = 190_000, **texts: Any
) -> OrderItem:
    gross = price * quantity - discount
    whole: dict[str, Any] = {"title": "Lamp", "sku": "", "options": {}, **texts}
    return OrderItem(
        item_id=uuid4(),
        variant_id=uuid4(),
        product_id=uuid4(),
        image_url="",
        image_media_id=None,
        quantity=quantity,
        cancelled_quantity=cancelled,
        unit_price_minor=price,
        discount_amount_minor=discount,
        tax_rate=rate,
        tax_amount_minor=tax_in(gross, rate),
        requires_shipping=True,
        **whole,
    )


def order(*items: OrderItem, currency: str = "EUR", fee: int = 490, fee_rate: int = 190_000, **changes: Any) -> Order:
    subtotal = sum(each.line_total_minor for each in items)
    discount = sum(each.discount_amount_minor for each in items)
    made = Order(
        order_id=UUID(int=1),
        order_number="K7QW-2M9T",
        order_group_id=uuid4(),
        buyer_id=uuid4(),
        seller_id=uuid4(),
        owner_user_id=uuid4(),
        shop_name="Radhaus",
        pickup=None,
        address=HOME,
        currency=currency,
        subtotal_minor=subtotal,
        discount_amount_minor=discount,
        delivery_fee_minor=fee,
        total_minor=subtotal - discount + fee,
        delivery_tax_rate=fee_rate,
        delivery_tax_amount_minor=tax_in(fee, fee_rate),
        usual_prep_duration=timedelta(minutes=10),
        shop_open_time=None,
        eta_earliest_time=NOW,
        eta_latest_time=NOW,
        create_time=NOW,
        payment_id=uuid4(),
        payment_expire_time=NOW,
        items=items,
        state=OrderState.PAID,
        version=2,
        due_minor=subtotal - discount + fee,
        update_time=NOW + timedelta(hours=1),
        pay_time=NOW,
    )
    return replace(made, **changes)


def rendered(one: Order, own: Path | None = None) -> receipt_pb2.Receipt:
    receipt = receipt_of(one)
    return to_receipt(receipt, ReceiptRenderer("Market & Co", own).render(receipt))


@given(LINES, st.integers(0, 10**6), st.sampled_from(("JPY", "EUR", "KWD")), st.sampled_from(("PAID", "CANCELLED")))
def test_sums_agree_to_the_minor_unit(
    lines: Sequence[tuple[int, int, int, int, int]], fee: int, currency: str, state: str
) -> None:
    items = [
        item(price, pieces, min(gone, pieces), price * pieces * percent // 100, rate)
        for price, pieces, gone, percent, rate in lines
    ]
    one = order(*items, currency=currency, fee=fee, fee_rate=70_000, state=OrderState(state))
    receipt = receipt_of(one)
    assert receipt.total_minor == sum(line.total_minor for line in receipt.lines) + receipt.delivery_fee_minor
    assert receipt.total_minor == sum(tax.gross_amount_minor for tax in receipt.taxes)
    assert receipt.total_minor + receipt.cancelled_amount_minor == one.total_minor
    assert all(tax.net_amount_minor >= 0 <= tax.tax_amount_minor for tax in receipt.taxes)
    of_lines = sum(line.tax_amount_minor for line in receipt.lines)
    of_fee = one.delivery_tax_amount_minor if receipt.delivery_fee_minor else 0
    assert receipt.tax_amount_minor == of_lines + of_fee
    if state == "CANCELLED":
        assert (receipt.total_minor, receipt.taxes) == (0, ())
        return
    # What cancelling gave back and what is left are the whole line.
    for line in receipt.lines:
        gone = replace(line.item, cancelled_quantity=0).worth_minor(line.item.cancelled_quantity)
        assert line.total_minor + gone == line.item.line_total_minor - line.item.discount_amount_minor
    if not any(each.cancelled_quantity for each in items):
        assert receipt.tax_amount_minor == one.tax_amount_minor, "what was frozen is what is shown"


def test_taxes_stand_by_rate_and_a_cancelled_piece_has_none() -> None:
    one = order(item(1_190, 2, 1), item(535, 1, rate=70_000), item(999, 3, 3, rate=55_000), fee=490)
    receipt = receipt_of(one)
    assert [(tax.rate, tax.gross_amount_minor, tax.tax_amount_minor) for tax in receipt.taxes] == [
        (190_000, 1_190 + 490, 190 + 78),
        (70_000, 535, 35),
    ]
    assert receipt.cancelled_amount_minor == 1_190 + 3 * 999
    shown = rendered(one)
    assert [(tax.rate.value, tax.net_amount.units, tax.net_amount.nanos) for tax in shown.taxes] == [
        ("19", 14, 120_000_000),
        ("7", 5, 0),
    ]


def test_the_text_reads_from_the_top_to_the_sums() -> None:
    one = order(
        item(1_250, 3, 1, discount=300, title="Lamp", sku="L-1", options={"Size": "M", "Colour": "red"}),
        item(99_900, 1, rate=70_000, title="Chair"),
        refunded_amount_minor=1_150,
    )
    assert rendered(one).text.splitlines() == [
        "Receipt for order K7QW-2M9T",
        "",
        "Sold by Radhaus",
        "Paid on 2026-05-01, 12:00 UTC",
        "",
        "Ada Lovelace",
        "Kastanienallee 9",
        "2. Hof",
        "10435 Berlin",
        "DE",
        "",
        "-" * WIDTH,
        "2 x Lamp (Size: M, Colour: red)                                    23.00 EUR",
        "    No. L-1",
        "    12.50 EUR each, with 19 % tax",
        "    Discount -2.00 EUR",
        "    1 cancelled",
        "1 x Chair                                                         999.00 EUR",
        "    999.00 EUR each, with 7 % tax",
        "-" * WIDTH,
        "Subtotal                                                        1,024.00 EUR",
        "Discount                                                           -2.00 EUR",
        "Delivery                                                            4.90 EUR",
        "Total                                                           1,026.90 EUR",
        "    includes 19 % tax of 23.45 EUR net, 27.90 EUR gross             4.45 EUR",
        "    includes 7 % tax of 933.64 EUR net, 999.00 EUR gross           65.36 EUR",
        "",
        "Paid                                                            1,038.40 EUR",
        "Cancelled                                                          11.50 EUR",
        "Given back                                                         11.50 EUR",
        "",
        "— Market & Co",
    ]


class Tags(HTMLParser):
    """The tags and attributes of a document, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words += data


def parsed(html: str) -> Tags:
    found = Tags()
    found.feed(html)
    return found


def test_nothing_that_people_wrote_is_markup_or_template() -> None:
    nasty = "<script>alert(1)</script>\" onload='x' {{ 7 * 7 }} {% raw %} &amp; <img src=//evil.example>"
    plain = order(item(100, 1, options={"Size": "M"}, sku="S"))
    evil = replace(
        order(item(100, 1, title=nasty, sku=nasty, options={nasty: nasty})),
        shop_name=nasty,
        address=replace(HOME, recipient=nasty, lines=(nasty, nasty), city=nasty, postal_code="10435"),
    )
    good, bad = parsed(rendered(plain).html), parsed(rendered(evil).html)
    assert (bad.tags, bad.attributes) == (good.tags, good.attributes)
    assert bad.words.count(nasty) == 9, "shop, recipient, two lines, city, title, SKU, both sides of the option"
    assert nasty in rendered(evil).text


def test_the_document_is_whole_and_loads_nothing() -> None:
    html = rendered(order(item(100, 1))).html
    assert html.startswith("<!doctype html>")
    assert html.rstrip().endswith("</html>")
    found = parsed(html)
    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & set(found.tags)
    assert not {"src", "href", "action", "style", "onload"} & found.attributes
    assert not any(word in html for word in ("url(", "@import", "http:", "https:", "//"))
    assert "default-src 'none'" in html


def test_an_invoice_names_who_bought_and_not_how_to_find_the_door() -> None:
    shown = rendered(order(item(100, 1)))
    for secret in ("+49301234567", "left door", "beware", "52.54"):
        assert secret not in str(shown)
    assert shown.buyer_address.recipient == "Ada Lovelace"
    gone = Address("", "", (), "Berlin", "", "10435", "DE")
    after = rendered(order(item(100, 1), address=gone))
    assert "Ada" not in str(after)
    assert "10435 Berlin\nDE\n" in after.text


def test_long_titles_are_wrapped_and_the_amount_stays_on_the_right() -> None:
    title = "A lamp " * 30
    lines = rendered(order(item(100, 1, title=title))).text.splitlines()
    first = next(line for line in lines if line.startswith("1 x A lamp"))
    assert first.endswith("  1.00 EUR")
    assert len(first) == WIDTH
    assert all(len(line) <= WIDTH for line in lines)
    assert "".join(lines).count("lamp") == 30


def test_a_shop_words_receipts_in_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "receipt.txt").write_text("Thanks, {{ order_number }}: {{ total }}")
    (tmp_path / "de").mkdir()
    (tmp_path / "de" / "receipt.txt").write_text("Danke, {{ order_number }}")
    one = order(item(100, 1))
    assert rendered(one, tmp_path).text == "Thanks, K7QW-2M9T: 5.90 EUR\n"
    assert "<!doctype html>" in rendered(one, tmp_path).html, "what the folder lacks is ours"
    renderer = ReceiptRenderer("Market", tmp_path)
    assert renderer.render(receipt_of(one), "de-AT").text == "Danke, K7QW-2M9T\n"
    assert renderer.render(receipt_of(one), "xx").text.startswith("Thanks")


@pytest.mark.parametrize(("currency", "shown"), [("JPY", "1,234 JPY"), ("EUR", "12.34 EUR"), ("KWD", "1.234 KWD")])
def test_amounts_have_the_digits_of_their_currency(currency: str, shown: str) -> None:
    receipt = rendered(order(item(1_234, 1), currency=currency, fee=0))
    assert receipt.text.count(shown) >= 3
    assert shown in receipt.html
