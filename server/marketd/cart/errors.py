"""The cart's refusals."""

from __future__ import annotations

from datetime import datetime

from marketd.cart.model import MAX_LINE_QUANTITY, MAX_LINES
from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import FieldViolation, PreconditionViolation, Refusal, ValidationFailed
from marketd.promotion.model import MAX_CODES


class LineTooLarge(ValidationFailed):
    """A line would hold more pieces than it may."""

    def __init__(self) -> None:
        super().__init__(FieldViolation("quantity", f"a cart line holds at most {MAX_LINE_QUANTITY} pieces"))


class CartTooLong(ValidationFailed):
    """The cart would have more lines than it may."""

    def __init__(self) -> None:
        super().__init__(
            FieldViolation("variant_id", f"a cart holds at most {MAX_LINES} different variants; remove one first")
        )


class TooManyPromoCodes(ValidationFailed):
    """The cart has as many promo codes as it may."""

    def __init__(self) -> None:
        super().__init__(
            FieldViolation("code", f"cannot be applied: a cart takes at most {MAX_CODES} promo codes; remove one first")
        )


class PromoCodeNotApplied(Refusal):
    """A code to take off that is not on the cart, whether it exists or not."""

    code = Code.NOT_FOUND
    reason = Reason.NOT_FOUND

    def __init__(self, code: str) -> None:
        super().__init__(
            f"The promo code {code} is not on the cart; GetCart shows which are.",
            metadata={"resource": "promo_code", "id": code},
        )


class AddressNeeded(ValidationFailed):
    """Something in the cart is to be sent, and nobody said where to."""

    def __init__(self) -> None:
        super().__init__(
            FieldViolation(
                "address", "must be given, here or by address_id: not everything in the cart goes without it"
            )
        )


class GuestCartGone(Refusal):
    """The cart of a guest's token is not there any more: it went into an account's, or nobody used it for long."""

    code = Code.UNAUTHENTICATED
    reason = Reason.TOKEN_EXPIRED

    def __init__(self) -> None:
        super().__init__(
            "The cart of this guest token is gone: it went into an account's cart, or nobody has changed it for long. "
            "Sign in, or make a new one with CreateGuestCart."
        )


class GuestTokenInvalid(ValidationFailed):
    """What should be the token of a guest's cart is none that this marketplace made."""

    def __init__(self) -> None:
        super().__init__(FieldViolation("guest_token", "is not a token that CreateGuestCart gave"))


class CartEmpty(Refusal):
    """There is nothing to quote or order."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.CART_EMPTY

    def __init__(self) -> None:
        super().__init__("The cart is empty; add something first.")


class QuoteExpired(Refusal):
    """The quote is too old, was used, or is not this caller's; the three look the same."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.QUOTE_EXPIRED

    def __init__(self, expire_time: datetime) -> None:
        super().__init__(
            "The quote can no longer be ordered; ask for a new one with QuoteOrder.",
            metadata={"expireTime": expire_time.strftime("%Y-%m-%dT%H:%M:%SZ")},
        )


class QuoteTokenInvalid(ValidationFailed):
    """A quote token that this marketplace did not make."""

    def __init__(self) -> None:
        super().__init__(FieldViolation("quote_token", "is not a token that QuoteOrder gave"))


class AddressNotServiceable(Refusal):
    """Nobody in the cart delivers to the address."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.ADDRESS_NOT_SERVICEABLE

    def __init__(self) -> None:
        super().__init__(
            "No seller in the cart delivers to this address; choose another address or other sellers.",
            preconditions=(PreconditionViolation("ADDRESS", "address", "is outside of every service zone"),),
        )
