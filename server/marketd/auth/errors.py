"""The refusals of auth: bad credentials, tokens that no longer hold, blocked accounts."""

from __future__ import annotations

from marketd.kernel.reasons import Code, Reason
from marketd.kernel.refusals import FieldViolation, Refusal, ValidationFailed


class InvalidCredentials(Refusal):
    """Unknown login or wrong password: the two look the same, also by the time they take."""

    code = Code.UNAUTHENTICATED
    reason = Reason.INVALID_CREDENTIALS

    def __init__(self) -> None:
        super().__init__("The login or the password is wrong.")


class TokenInvalid(Refusal):
    """A token that this marketplace did not make, or one that was changed."""

    code = Code.UNAUTHENTICATED
    reason = Reason.TOKEN_INVALID

    def __init__(self) -> None:
        super().__init__("The token is not valid; sign in again.")


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

    def __init__(self) -> None:
        super().__init__("The roles of this account have changed; open the stream again.")


class PasswordTooCommon(ValidationFailed):
    """The password is one that attackers try first, or the account's own name."""

    def __init__(self) -> None:
        super().__init__(FieldViolation("password", "is too easy to guess; choose another one"))


class PasswordLength(ValidationFailed):
    """The password is too short or too long once its characters are normalised (NFKC)."""

    def __init__(self) -> None:
        super().__init__(FieldViolation("password", "must have 8 to 128 characters"))
