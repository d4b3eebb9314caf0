"""Each field of a message says what the value's field of that name says, and not what another one does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import count
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money as MoneyMessage
from marketd.cart.convert import to_cart, to_problem, to_quote
from marketd.cart.quotes.values import Quote, QuotePackage, QuoteResult
from marketd.cart.values import NO_CODES, Cart, CartItem, PricedCart, PricedItem, Problem
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money
from marketd.order.access import viewer_of
from marketd.order.convert import to_cancellation, to_order
from marketd.order.model import OrderState
from marketd.order.receipts.convert import to_receipt
from marketd.order.receipts.render import RenderedReceipt
from marketd.order.receipts.values import Receipt
from marketd.order.values import Order
from marketd.payment.convert import to_payment
from marketd.payment.model import PaymentState
from marketd.payment.values import Payment
from marketd.promotion.convert import to_promo_code
from marketd.promotion.values import PromoCode
from marketd.review.access import viewer_of as review_viewer_of
from marketd.review.convert import to_review
from marketd.review.values import Review

ADMIN = Caller(new_id(), new_id(), frozenset({Role.ADMIN}))
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
# What must be something for a value to be one at all.
GIVEN: dict[str, Any] = {
    "currency": "EUR",
    "rating": 4,
    "image_url": "https://pictures.example/1",
    "image_media_id": None,
}
# What is said in other words, or by another rule than that of the names; other tests have it.
OTHERWISE = {"allowed_actions", "state", "promotions", "promo_codes", "problems", "etag", "taxes"}


class Different:
    """Makes values whose every field is unlike any other."""

    def __init__(self) -> None:
        self._numbers = count(101)

    def make(self, hint: Any, name: str = "") -> Any:
        """A value of the type."""
        if name in GIVEN:
            return GIVEN[name]
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (Union, UnionType):
            return self.make(next(part for part in arguments if part is not NoneType), name)
        if origin is tuple:
            return (self.make(arguments[0]),)
        if origin is not None and issubclass(origin, Mapping):
            return {self.make(arguments[0]): self.make(arguments[1])}
        if is_dataclass(hint) and isinstance(hint, type):
            hints = get_type_hints(hint)
            return hint(**{each.name: self.make(hints[each.name], each.name) for each in fields(hint) if each.init})
        return self._plain(hint)

    def _plain(self, hint: Any) -> Any:
        number = next(self._numbers)
        if issubclass(hint, Enum):
            return list(hint)[-1]
        plain: Mapping[type[Any], Any] = {
            str: f"words {number}",
            UUID: new_id(),
            datetime: BEGIN + timedelta(minutes=number),
            timedelta: timedelta(seconds=number),
            bool: True,
            int: number,
            float: float(number),
            bytes: b"%d" % number,
        }
        return plain[hint]


def _compared(message: Message, value: Any, place: str = "") -> Iterator[str]:
    """The names of the fields that were compared; those in messages of the same name as well."""
    for field in message.DESCRIPTOR.fields:
        name = field.name
        minor = getattr(value, f"{name}_minor", None)
        said, known = getattr(message, name), getattr(value, name, None) if minor is None else minor
        if name in OTHERWISE or known is None or callable(known):
            continue
        path = f"{place}{name}"
        if field.message_type is not None and is_dataclass(known) and not isinstance(known, Money):
            yield from _compared(said, known, f"{path}.")
        elif isinstance(known, Sequence) and known and is_dataclass(known[0]):
            assert len(said) == len(known), path
            for one, each in zip(said, known, strict=True):
                yield from _compared(one, each, f"{path}.")
        elif (plain := _plain(field, said)) is not None:
            assert plain == _expected(known), path
            yield path


def _plain(field: Any, said: Any) -> Any:
    match said:
        case Timestamp():
            return said.ToDatetime(UTC)
        case Duration():
            return said.ToTimedelta()
        case MoneyMessage():
            return said.units * 100 + said.nanos // 10**7
        case Message():
            return None
        case str() | bool():
            return said
        case int() | float() if field.enum_type is not None:
            return field.enum_type.values_by_number[said].name
        case int() | float():
            return said
        case _:
            return list(said) if not isinstance(said, Mapping) else dict(said)


class _Ends(str):
    """An enum's value by the end of the contract's name for it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other.endswith(f"_{self!s}")

    __hash__ = str.__hash__


def _expected(known: Any) -> Any:
    match known:
        case Enum():
            return _Ends(known.value)
        case Money():
            return known.amount_minor
        case UUID():
            return str(known)
        case tuple():
            return [_expected(each) for each in known]
        case _:
            return known


def _order() -> tuple[Message, Any, str]:
    order: Order = replace(Different().make(Order), state=OrderState.PENDING_PAYMENT)
    message = to_order(order, ADMIN)
    assert minor_of(message.payable_amount) == order.due_minor
    (cancelled,) = order.cancellations
    assert [minor_of(each.amount) for each in message.cancellations] == [cancelled.amount_minor]
    return message, order, "allowed_actions delivery_tax_rate eta etag payable_amount promo_codes promotions state"


def _cancellation() -> tuple[Message, Any, str]:
    order: Order = Different().make(Order)
    (cancelled,) = order.cancellations
    return to_cancellation(order, cancelled, viewer_of(ADMIN, order)), cancelled, ""


def _payment() -> tuple[Message, Any, str]:
    payment: Payment = Different().make(Payment)
    declined = to_payment(replace(payment, state=PaymentState.DECLINED)).decline
    assert (declined.code, declined.message) == (payment.decline_code, payment.decline_message)
    assert declined.decline_time.ToDatetime(UTC) == payment.decline_time
    asked = to_payment(replace(payment, state=PaymentState.ACTION_REQUIRED))
    assert (asked.action.redirect_url, asked.HasField("decline")) == (payment.redirect_url, False)
    return to_payment(payment), payment, "action decline etag state"


def _review() -> tuple[Message, Any, str]:
    review: Review = replace(Different().make(Review), pictures=())
    message = to_review(review, "https://pictures.example", review_viewer_of(ADMIN, review))
    assert (message.reply.text, message.reply.reply_time.ToDatetime(UTC)) == (review.reply_text, review.reply_time)
    return message, review, "etag images reply state"


def _promo_code() -> tuple[Message, Any, str]:
    code: PromoCode = Different().make(PromoCode)
    message = to_promo_code(code.seen(BEGIN))
    assert message.window.start_time.ToDatetime(UTC) == code.start_time
    assert message.window.end_time.ToDatetime(UTC) == code.end_time
    return message, code, "etag percent state window"


def _quote() -> tuple[Message, Any, str]:
    made = Different()
    quote: Quote = replace(made.make(Quote), promotions=())
    message = to_quote(QuoteResult(quote, (), BEGIN), "token")
    (shown,), (package,) = message.packages, quote.packages
    assert minor_of(message.delivery_fee) == package.delivery_fee_minor
    assert minor_of(message.subtotal) == package.subtotal_minor
    return shown, _Package(package), "eta promotions"


class _Package:
    """A package whose lines are called as the message calls them."""

    def __init__(self, package: QuotePackage) -> None:
        self._package, self.items = package, package.lines

    def __getattr__(self, name: str) -> Any:
        return getattr(self._package, name)


def _problem() -> tuple[Message, Any, str]:
    problem: Problem = Different().make(Problem)
    return to_problem(problem), problem, ""


def _cart() -> tuple[Message, Any, str]:
    made = Different()
    cart: Cart = made.make(Cart)
    item: CartItem = cart.items[0]
    priced = PricedCart(cart, (PricedItem(item, None, ()),), "EUR", NO_CODES)
    message = to_cart(replace(priced, cart=replace(cart, promo_code_ids=())), "https://pictures.example")
    assert minor_of(message.items[0].unit_price) == item.price_minor
    assert minor_of(message.total) == minor_of(message.subtotal) == item.price_minor * item.quantity
    assert (message.total_quantity, minor_of(message.discount_amount)) == (item.quantity, 0)
    return message, cart, "discount_amount etag promo_codes subtotal total total_quantity"


_RECEIPT_OTHERWISE = (
    "buyer_address html issue_time order_id order_number paid_amount promotions refunded_amount shop_name taxes text"
    " update_time"
)


def _receipt() -> tuple[Message, Any, str]:
    receipt: Receipt = Different().make(Receipt)
    receipt = replace(receipt, lines=tuple(replace(line, quantity=3) for line in receipt.lines))
    message = to_receipt(receipt, RenderedReceipt("text", "html"))
    assert (message.text, message.html) == ("text", "html")
    assert minor_of(message.paid_amount) == receipt.order.due_minor
    assert minor_of(message.refunded_amount) == receipt.order.refunded_amount_minor
    assert message.issue_time.ToDatetime(UTC) == receipt.order.pay_time
    assert message.update_time.ToDatetime(UTC) == receipt.order.update_time
    assert (message.order_id, message.order_number) == (str(receipt.order.order_id), receipt.order.order_number)
    assert message.shop_name == receipt.order.shop_name
    return message, receipt, _RECEIPT_OTHERWISE


def minor_of(message: MoneyMessage) -> int:
    """Cents."""
    return int(message.units * 100 + message.nanos // 10**7)


@pytest.mark.parametrize(
    "shown", [_order, _cancellation, _payment, _review, _promo_code, _quote, _problem, _cart, _receipt]
)
def test_each_field_says_what_the_value_s_field_of_its_name_says(shown: Any) -> None:
    message, value, otherwise = shown()
    compared = {path.partition(".")[0] for path in _compared(message, value)}
    # Whoever adds a field says here that another test has it, where its name is not the value's.
    assert {field.name for field in message.DESCRIPTOR.fields} - compared == set(otherwise.split())
