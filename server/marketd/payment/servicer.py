"""PaymentService: one method, one use case."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.message import Message
from marketplace.payment.v1 import payment_service_pb2, payment_service_pb2_grpc

from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import Role
from marketd.kernel.db.transactor import Transactor
from marketd.payment import convert
from marketd.payment.attempts.confirm import Confirm, PaymentConfirmer
from marketd.payment.create import create_payment
from marketd.payment.ports import OrderPayments, Providers
from marketd.payment.read import get_payment
from marketd.payment.refunds.refund import PaymentRefunder, Refunded, RefundPayment
from marketd.payment.values import Payment

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class PaymentServicer(payment_service_pb2_grpc.PaymentServiceServicer):
    """The calls on payments."""

    def __init__(
        self,
        *,
        tx: Transactor,
        providers: Providers,
        orders: OrderPayments,
        confirmer: PaymentConfirmer,
        refunder: PaymentRefunder,
        currency: str,
    ) -> None:
        self._tx = tx
        self._providers = providers
        self._orders = orders
        self._confirmer = confirmer
        self._refunder = refunder
        self._currency = currency

    async def CreatePayment(
        self, request: payment_service_pb2.CreatePaymentRequest, context: Context
    ) -> payment_service_pb2.CreatePaymentResponse:
        caller = calls.current_caller()
        group_id = UUID(request.order_group_id)
        provider = self._providers.resolve(request.payment_provider)
        return await self._tx.answer(
            "payment.create",
            lambda uow: create_payment(uow, self._orders, caller, group_id, provider),
            lambda payment: payment_service_pb2.CreatePaymentResponse(payment=convert.to_payment(payment)),
        )

    async def ConfirmPayment(
        self, request: payment_service_pb2.ConfirmPaymentRequest, context: Context
    ) -> payment_service_pb2.ConfirmPaymentResponse:
        command = Confirm(
            UUID(request.payment_id),
            convert.from_method(request.payment_method),
            request.return_url,
            UUID(request.request_id),
            _fingerprint(request),
        )

        def render(payment: Payment) -> payment_service_pb2.ConfirmPaymentResponse:
            return payment_service_pb2.ConfirmPaymentResponse(payment=convert.to_payment(payment))

        return await self._confirmer.confirm(calls.current_caller(), command, render)

    async def GetPayment(
        self, request: payment_service_pb2.GetPaymentRequest, context: Context
    ) -> payment_service_pb2.GetPaymentResponse:
        caller = calls.current_caller()
        payment_id = UUID(request.payment_id)
        payment = await self._tx.read(lambda unit: get_payment(unit, caller, payment_id))
        return payment_service_pb2.GetPaymentResponse(payment=convert.to_payment(payment))

    async def RefundPayment(
        self, request: payment_service_pb2.RefundPaymentRequest, context: Context
    ) -> payment_service_pb2.RefundPaymentResponse:
        caller = calls.current_caller()
        command = RefundPayment(
            UUID(request.payment_id),
            convert.from_scope(request, self._currency),
            request.reason,
            request.etag,
            UUID(request.request_id),
            _fingerprint(request),
        )

        def render(refunded: Refunded) -> payment_service_pb2.RefundPaymentResponse:
            response = payment_service_pb2.RefundPaymentResponse(refund=convert.to_refund(refunded.refund))
            if caller.has(Role.ADMIN):
                # A seller's orders are only a part of the payment; the rest is not the seller's to see.
                response.payment.CopyFrom(convert.to_payment(refunded.payment))
            return response

        return await self._refunder.refund(caller, command, render)


def _fingerprint(request: Message) -> bytes:
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
