"""Payments and refunds as messages."""

from __future__ import annotations

from google.type.money_pb2 import Money as MoneyMessage
from marketplace.payment.v1 import payment_pb2

from marketd.kernel.enums import EnumMap
from marketd.kernel.values.money import Money
from marketd.kernel.wire import to_money, to_timestamp
from marketd.payment.model import PaymentState, RefundState
from marketd.payment.values import Payment, Refund

_STATES = EnumMap(PaymentState, payment_pb2.PaymentState)
_REFUND_STATES = EnumMap(RefundState, payment_pb2.RefundState)


def to_payment(payment: Payment) -> payment_pb2.Payment:
    """marketplace.payment.v1.Payment."""

    def money(amount_minor: int) -> MoneyMessage:
        return to_money(Money(amount_minor, payment.currency))

    message = payment_pb2.Payment(
        payment_id=str(payment.payment_id),
        order_group_id=str(payment.order_group_id),
        buyer_id=str(payment.buyer_id),
        state=_STATES.to_wire(payment.state),
        payment_provider=payment.provider,
        amount=money(payment.amount_minor),
        captured=money(payment.captured_minor),
        refunded=money(payment.refunded_minor),
        refunds=[to_refund(refund) for refund in payment.refunds],
        create_time=to_timestamp(payment.create_time),
        update_time=to_timestamp(payment.update_time),
        captured_time=None if payment.capture_time is None else to_timestamp(payment.capture_time),
        expire_time=to_timestamp(payment.expire_time),
    )
    if payment.state is PaymentState.ACTION_REQUIRED:
        message.action.redirect_url = payment.redirect_url
    if payment.state is PaymentState.DECLINED and payment.decline_time is not None:
        message.decline.code = payment.decline_code
        message.decline.message = payment.decline_message
        message.decline.decline_time.CopyFrom(to_timestamp(payment.decline_time))
    return message


def to_refund(refund: Refund) -> payment_pb2.Refund:
    """marketplace.payment.v1.Refund."""
    return payment_pb2.Refund(
        refund_id=str(refund.refund_id),
        payment_id=str(refund.payment_id),
        order_id=str(refund.order_id or ""),
        amount=to_money(refund.amount),
        reason=refund.reason,
        state=_REFUND_STATES.to_wire(refund.state),
        create_time=to_timestamp(refund.create_time),
        update_time=to_timestamp(refund.update_time),
    )
