"""The refusals of auth: bad credentials, tokens that no longer hold, blocked accounts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from marketd.auth.addresses.model import MAX_ADDRESSES
from marketd.kernel.call.caller import Role
from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import (
    FieldViolation,
    IllegalTransition,
    InUse,
    PreconditionViolation,
    Refusal,
    ValidationFailed,
)


class AccountCannotAct(IllegalTransition):
    """The account that something is to be given to is blocked or deleted. allowed: what it can become."""

    def __init__(self, state: str, allowed: Sequence[str]) -> None:
        advice = "unblock it first" if allowed else "give it to somebody else"
        super().__init__("user", state, allowed, f"The owner's account is {state}, so nobody could act; {advice}.")


class InvalidCredentials(Refusal):
    """Unknown login or wrong password: the two look the same, also by the time they take."""

    code = Code.UNAUTHENTICATED
    reason = Reason.INVALID_CREDENTIALS

    def __init__(self) -> None:
        super().__init__("The login or the password is wrong; try again, or ask for a new password.")


class TooManyFailures(Refusal):
    """Too many failures at one name, whether anybody has it or not; nothing was hashed."""

    code = Code.RESOURCE_EXHAUSTED
    reason = Reason.RATE_LIMITED

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(
            f"Too many failures; wait {math.ceil(retry_after_seconds)} seconds, or ask for a new password.",
            metadata={"rateClass": "LOGIN"},
            retry_after_seconds=retry_after_seconds,
        )


class TooManyCodes(Refusal):
    """So many codes were sent within the hour that another one must wait."""

    code = Code.RESOURCE_EXHAUSTED
    reason = Reason.RATE_LIMITED

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(
            f"Too many codes were sent; ask for another one in {math.ceil(retry_after_seconds)} seconds.",
            metadata={"rateClass": "CODE"},
            retry_after_seconds=retry_after_seconds,
        )


class TotpRequired(Refusal):
    """The second factor is missing or wrong, or its code was used before."""

    code = Code.UNAUTHENTICATED
    reason = Reason.TOTP_REQUIRED

    def __init__(self) -> None:
        super().__init__("This account needs a fresh code of its authenticator, or a recovery code.")


class LetterTokenInvalid(Refusal):
    """A token out of a letter that is unknown, used, or too old: the three look the same."""

    code = Code.UNAUTHENTICATED
    reason = Reason.TOKEN_INVALID

    def __init__(self) -> None:
        super().__init__("This link or code is not valid any more; ask for a new one.")


class ClientUnknown(Refusal):
    """Unknown service, wrong secret, revoked account: the three look the same."""

    code = Code.UNAUTHENTICATED
    reason = Reason.INVALID_CREDENTIALS

    def __init__(self) -> None:
        super().__init__("The client id or the client secret is wrong.")


class CodeWrong(ValidationFailed):
    """A code that is wrong, used, too old or tried too often: they look the same."""

    def __init__(self, field: str) -> None:
        super().__init__(FieldViolation(field, "is wrong or no longer good; look at it again, or ask for a new one"))


class NothingToVerify(ValidationFailed):
    """The account has no phone."""

    def __init__(self) -> None:
        super().__init__(FieldViolation("channel", "the account has no phone; set one first"))


class AlreadyVerified(IllegalTransition):
    """There is nothing to verify any more. channel: what people call it, such as `phone`."""

    def __init__(self, channel: str) -> None:
        super().__init__(channel, "VERIFIED", [], f"Your {channel} is verified already; no code is needed.")


class AccountHeld(InUse):
    """The account still runs something that others rely on, or waits for it: `seller <id>`, `shift <id>`, an order."""

    def __init__(self, held_by: str) -> None:
        super().__init__("user", held_by, f"Your account still has {held_by}. Close or end it, or wait for its end.")


class ContactUnchanged(ValidationFailed):
    """The account has this e-mail address or phone already. name: what people call it, and its field."""

    def __init__(self, name: str) -> None:
        super().__init__(
            FieldViolation(name, f"is the {name} of the account already; SendVerification verifies it where it is not")
        )


class VerifiedPhone(ValidationFailed):
    """A phone that is verified is changed and removed by a call of its own, which asks for a proof."""

    def __init__(self) -> None:
        super().__init__(FieldViolation("user.phone", "is verified; change or remove it with ChangePhone"))


class ProofMissing(ValidationFailed):
    """Nothing shows that it is the owner who asks."""

    def __init__(self) -> None:
        super().__init__(FieldViolation("proof", "one of password, totp_code, recovery_code must be given"))


class NoSecondFactor(ValidationFailed):
    """The account has no authenticator whose code could prove anything."""

    def __init__(self, field: str) -> None:
        super().__init__(FieldViolation(field, "the account has no second factor; give the password instead"))


class NothingCarriesSms(ValidationFailed):
    """This marketplace has nobody who sends text messages."""

    def __init__(self, field: str) -> None:
        super().__init__(
            FieldViolation(field, "this marketplace sends no text messages; verify the e-mail address instead")
        )


class TokenInvalid(Refusal):
    """A token that this marketplace did not make, or one that was changed."""

    code = Code.UNAUTHENTICATED
    reason = Reason.TOKEN_INVALID

    def __init__(self) -> None:
        super().__init__("The token is not valid; refresh it, or sign in again.")


class TokenExpired(Refusal):
    """The token's time is over."""

    code = Code.UNAUTHENTICATED
    reason = Reason.TOKEN_EXPIRED

    def __init__(self) -> None:
        super().__init__("The token has expired; refresh it, or sign in again.")


class RefreshTokenReused(Refusal):
    """A spent refresh token came back after the grace: it may be stolen, so the whole session was ended."""

    code = Code.UNAUTHENTICATED
    reason = Reason.REFRESH_TOKEN_REUSED

    def __init__(self) -> None:
        super().__init__("This refresh token was used before; the session has been ended, sign in again.")


class SessionRevoked(Refusal):
    """The session was ended, by its owner or by the marketplace."""

    code = Code.UNAUTHENTICATED
    reason = Reason.SESSION_REVOKED

    def __init__(self) -> None:
        super().__init__("The session has ended; sign in again.")


class AccountBlocked(Refusal):
    """The marketplace has blocked the account."""

    code = Code.PERMISSION_DENIED
    reason = Reason.ACCOUNT_BLOCKED

    def __init__(self) -> None:
        super().__init__("This account is blocked; ask the marketplace's support.")


class RolesChanged(Refusal):
    """The account lost a role: its open streams end, and a new call is judged by the roles that are left."""

    code = Code.PERMISSION_DENIED
    reason = Reason.ROLE_REQUIRED

    def __init__(self, required: Iterable[Role] = ()) -> None:
        super().__init__(
            "The roles of this account have changed; open the stream again.",
            metadata={"requiredRoles": ",".join(sorted(required))},
        )


class LastAdmin(Refusal):
    """Without this admin nobody could run the marketplace any more."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.IN_USE

    def __init__(self) -> None:
        super().__init__(
            "This is the last administrator; make somebody else one first.",
            metadata={"resource": "user", "usedBy": "the marketplace"},
            preconditions=(PreconditionViolation("LAST_ADMIN", "user", "is the last administrator"),),
        )


class AddressBookFull(ValidationFailed):
    """The account keeps as many addresses as it may."""

    def __init__(self) -> None:
        super().__init__(
            FieldViolation("address", f"an account keeps at most {MAX_ADDRESSES} addresses; delete one first")
        )


class PrimaryNeeded(ValidationFailed):
    """The default address shall be none any more, and no other takes its place."""

    def __init__(self) -> None:
        super().__init__(
            FieldViolation("address.primary", "cannot be taken from the default address; make another one the default")
        )


class NoAddress(ValidationFailed):
    """An e-mail address that no letter can be sent to."""

    def __init__(self, field: str) -> None:
        super().__init__(
            FieldViolation(field, "is not an address that mail can be sent to; write it as in jo@example.com")
        )


class PasswordTooCommon(ValidationFailed):
    """The password is one that attackers try first, or the account's own name, alone or with digits and signs."""

    def __init__(self, field: str = "password") -> None:
        super().__init__(FieldViolation(field, "is too easy to guess; choose another one"))


class PasswordUnchanged(ValidationFailed):
    """The new password is what the request calls the current one, whether or not that is right."""

    def __init__(self, field: str = "new_password") -> None:
        super().__init__(FieldViolation(field, "must differ from the current password"))


class PasswordLength(ValidationFailed):
    """The password is too short or too long once its characters are normalised (NFKC)."""

    def __init__(self, field: str = "password") -> None:
        super().__init__(FieldViolation(field, "must have 8 to 128 characters"))
