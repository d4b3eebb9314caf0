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
            metadata={"paymentId": str(payment_id)},
            preconditions=(
                PreconditionViolation("PAYMENT", str(payment_id), f"was declined by the provider: {decline_code}"),
            ),
        )


class PaymentActionRequired(Refusal):
    """The buyer must do something at the provider first; GetPayment says what, too."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.PAYMENT_ACTION_REQUIRED

    def __init__(self, payment_id: object, action_url: str) -> None:
        super().__init__(
            f"The provider asks you to confirm the payment: go to {action_url}, then confirm it here again.",
            metadata={"paymentId": str(payment_id), "actionUrl": action_url},
            preconditions=(PreconditionViolation("PAYMENT", str(payment_id), "waits for the buyer's action"),),
        )


class MethodOfAnother(ValidationFailed):
    """The payment goes through one provider, the method is another's."""

    def __init__(self, payment_provider: str) -> None:
        super().__init__(FieldViolation("payment_method", f"must be a method of {payment_provider}"))


class PaymentOver(IllegalTransition):
    """The payment cannot be confirmed or replaced any more."""

    def __init__(self, state: PaymentState) -> None:
        super().__init__("payment", state.value, [], f"The payment is {state.value} and takes no money any more.")


class NothingToRefund(IllegalTransition):
    """No money was taken, or all of it was given back."""

    def __init__(self, state: str) -> None:
        super().__init__("payment", state, [], f"The payment is {state}; there is nothing left to give back.")


class RefundTooLarge(ValidationFailed):
    """More is asked for than is left."""

    def __init__(self, left: str) -> None:
        super().__init__(FieldViolation("order.amount", f"must be at most {left}: that is what is left"))
