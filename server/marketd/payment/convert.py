"""Payments and refunds as messages."""

from __future__ import annotations

from uuid import UUID

from google.type.money_pb2 import Money as MoneyMessage
from marketplace.payment.v1 import payment_pb2, payment_service_pb2

from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.enums import EnumMap
from marketd.kernel.values.etags import etag_of
from marketd.kernel.values.money import Money
from marketd.kernel.wire import from_money, to_money, to_timestamp
from marketd.payment.model import PaymentState, RefundState
from marketd.payment.refunds.refund import OrderRefund
from marketd.payment.values import Payment, PaymentMethod, Refund

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
        payment_provider=payment.payment_provider,
        amount=money(payment.amount_minor),
        captured_amount=money(payment.captured_amount_minor),
        refunded_amount=money(payment.refunded_amount_minor),
        refunds=[to_refund(refund) for refund in payment.refunds],
        create_time=to_timestamp(payment.create_time),
        update_time=to_timestamp(payment.update_time),
        capture_time=None if payment.capture_time is None else to_timestamp(payment.capture_time),
        expire_time=to_timestamp(payment.expire_time),
        etag=etag_of(payment.version),
    )
    if payment.state is PaymentState.ACTION_REQUIRED:
        message.action.redirect_url = payment.redirect_url
    if payment.state is PaymentState.DECLINED and payment.decline_time is not None:
        message.decline.code = payment.decline_code
        message.decline.message = payment.decline_message
        message.decline.decline_time.CopyFrom(to_timestamp(payment.decline_time))
    return message


def from_method(message: payment_pb2.PaymentMethod) -> PaymentMethod:
    """The one method that is given; its field is called as the provider is."""
    provider = message.WhichOneof("method")
    if provider is None:
        raise ValueError("the contract's rules let no payment method without a word pass")
    return PaymentMethod(provider, getattr(message, provider))


def from_scope(request: payment_service_pb2.RefundPaymentRequest, currency: str) -> OrderRefund | None:
    """Which order to refund and how much of it; None for the whole group. Raises ValidationFailed for a bad amount."""
    if not request.HasField("order"):
        return None
    amount = from_money(request.order.amount, currency, "order.amount") if request.order.HasField("amount") else None
    if amount is not None and amount.amount_minor <= 0:
        raise ValidationFailed(FieldViolation("order.amount", "must be more than 0"))
    return OrderRefund(UUID(request.order.order_id), amount)


def to_refund(refund: Refund) -> payment_pb2.Refund:
    """marketplace.payment.v1.Refund."""
    return payment_pb2.Refund(
        refund_id=str(refund.refund_id),
        payment_id=str(refund.payment_id),
        order_id=None if refund.order_id is None else str(refund.order_id),
        amount=to_money(refund.amount),
        reason=refund.reason or None,
        state=_REFUND_STATES.to_wire(refund.state),
        create_time=to_timestamp(refund.create_time),
        update_time=to_timestamp(refund.update_time),
    )
