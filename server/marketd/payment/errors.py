"""The refusals of payments."""

from __future__ import annotations

from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import (
    FieldViolation,
    IllegalTransition,
    PreconditionViolation,
    Refusal,
    ValidationFailed,
)
from marketd.payment.model import PaymentState


class PaymentDeclined(Refusal):
    """The provider refused; the orders wait on, and another method may be tried."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.PAYMENT_DECLINED

    def __init__(self, payment_id: object, decline_code: str, decline_message: str) -> None:
        super().__init__(
            decline_message or "The payment was declined; try another method.",
            metadata={"paymentId": str(payment_id), "declineCode": decline_code},
            preconditions=(PreconditionViolation("PAYMENT", str(payment_id), "was declined by the provider"),),
        )


class PaymentActionRequired(Refusal):
    """The buyer must do something at the provider first; GetPayment says what, too."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.PAYMENT_ACTION_REQUIRED

    def __init__(self, payment_id: object, redirect_url: str) -> None:
        super().__init__(
            "The provider asks the buyer to confirm the payment; go to the redirect URL and confirm again.",
            metadata={"paymentId": str(payment_id), "redirectUrl": redirect_url},
            preconditions=(PreconditionViolation("PAYMENT", str(payment_id), "waits for the buyer's action"),),
        )


class MethodOfAnother(ValidationFailed):
    """The payment goes through one provider, the method is another's."""

    def __init__(self, payment_provider: str) -> None:
        super().__init__(FieldViolation("payment_method", f"must be a method of {payment_provider}"))


class PaymentOver(IllegalTransition):
    """The payment cannot be confirmed or replaced any more."""

    def __init__(self, state: PaymentState) -> None:
        super().__init__("payment", state.value, [])


class NothingToRefund(IllegalTransition):
    """No money was taken, or all of it was given back."""

    def __init__(self, state: str) -> None:
        super().__init__("payment", state, [])


class RefundTooLarge(ValidationFailed):
    """More is asked for than is left."""

    def __init__(self, left: str) -> None:
        super().__init__(FieldViolation("order.amount", f"is more than what is left, {left}"))
