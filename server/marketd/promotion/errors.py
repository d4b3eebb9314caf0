"""The refusals of promotions."""

from __future__ import annotations

from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import AlreadyExists, IllegalTransition, PreconditionViolation, Refusal
from marketd.promotion.model import PromoCodeState
from marketd.promotion.values import PromoProblem


class PromoNotApplicable(Refusal):
    """The code does not fit the cart, the account or the other codes; those below say in which way it does not apply.

    message: a sentence that says what to do.
    """

    code = Code.FAILED_PRECONDITION
    reason = Reason.PROMO_NOT_APPLICABLE

    def __init__(self, promo_code: str, message: str) -> None:
        super().__init__(
            message,
            metadata={"code": promo_code},
            preconditions=(PreconditionViolation(self.reason.value, promo_code, message),),
        )


class PromoNotFound(PromoNotApplicable):
    """There is no such code."""

    reason = Reason.PROMO_NOT_FOUND


class PromoExpired(PromoNotApplicable):
    """The code's time is over or has not begun, or somebody has disabled it."""

    reason = Reason.PROMO_EXPIRED


class PromoExhausted(PromoNotApplicable):
    """The code was used as often as it may be, by all or by this account."""

    reason = Reason.PROMO_EXHAUSTED


def refusal_of(problem: PromoProblem) -> PromoNotApplicable:
    """The refusal that says what the problem says."""
    match problem.reason:
        case Reason.PROMO_NOT_FOUND:
            return PromoNotFound(problem.code, problem.message)
        case Reason.PROMO_EXPIRED:
            return PromoExpired(problem.code, problem.message)
        case Reason.PROMO_EXHAUSTED:
            return PromoExhausted(problem.code, problem.message)
        case _:
            return PromoNotApplicable(problem.code, problem.message)


class CodeTaken(AlreadyExists):
    """Another code is the same but for its case, be it disabled."""

    def __init__(self, code: str) -> None:
        super().__init__("promo code", "code", f"There is a promo code {code} already, or was one; choose another one.")


class CodeDisabled(IllegalTransition):
    """The code is disabled, which is for good."""

    def __init__(self) -> None:
        message = "The promo code is disabled for good and cannot be changed; make another one."
        super().__init__("promo code", PromoCodeState.DISABLED.value, (), message)


class TermsChanged(Exception):
    """The code's terms are not those of the quote any more, or it was disabled: quote again. No refusal by itself,
    because what to refuse with is the order's to say (QUOTE_EXPIRED).
    """

    def __init__(self, code: str) -> None:
        super().__init__(f"the terms of {code} have changed")
        self.code = code
