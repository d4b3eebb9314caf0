"""The refusals of media."""

from __future__ import annotations

from typing import ClassVar

from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import PreconditionViolation, Refusal

_NOTHING = "Nothing was stored"


class MediaTypeUnsupported(Refusal):
    """The content is no picture of a kind that is taken; `found` says what it is, as in "This is HTML"."""

    code: ClassVar[Code] = Code.INVALID_ARGUMENT
    reason: ClassVar[Reason] = Reason.MEDIA_TYPE_UNSUPPORTED

    def __init__(self, found: str) -> None:
        super().__init__(f"{found}. Send a JPEG, PNG, WebP, GIF or AVIF picture. {_NOTHING}.")


class MediaTooLarge(Refusal):
    """The content has more bytes, pixels or frames than are taken."""

    code: ClassVar[Code] = Code.INVALID_ARGUMENT
    reason: ClassVar[Reason] = Reason.MEDIA_TOO_LARGE

    def __init__(self, limit: int, of_what: str) -> None:
        super().__init__(
            f"A picture may have at most {limit} {of_what}; make it smaller. {_NOTHING}.",
            metadata={"limit": str(limit)},
        )


class MediaCorrupt(Refusal):
    """The content is cut or damaged, or is not what was announced."""

    code: ClassVar[Code] = Code.INVALID_ARGUMENT
    reason: ClassVar[Reason] = Reason.MEDIA_CORRUPT

    def __init__(self, description: str) -> None:
        super().__init__(f"The picture is damaged or not as announced: {description}. {_NOTHING}; send it again.")


class UploadOutOfOrder(Refusal):
    """The info did not come first, or came twice."""

    code: ClassVar[Code] = Code.INVALID_ARGUMENT
    reason: ClassVar[Reason] = Reason.MALFORMED_REQUEST

    def __init__(self) -> None:
        super().__init__("Send the info once, in the first message, and then only chunks.")


class QuotaExceeded(Refusal):
    """The account's media would take more room than it has. Both in bytes."""

    code: ClassVar[Code] = Code.FAILED_PRECONDITION
    reason: ClassVar[Reason] = Reason.QUOTA_EXCEEDED

    def __init__(self, limit: int, used: int) -> None:
        super().__init__(
            f"Your pictures take {used} of {limit} bytes, and there is no room for this one; delete some that are not"
            " used any more.",
            metadata={"limit": str(limit), "used": str(used)},
            preconditions=(PreconditionViolation("QUOTA", "media", f"{used} of {limit} bytes are used"),),
        )
