"""Pictures that are shown from elsewhere until the server has fetched them, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from marketd.catalog.model import RemoteImageState


class FetchFailure(StrEnum):
    """Why a picture could not be fetched; the values are those of the contract without the prefix."""

    ADDRESS_REFUSED = "ADDRESS_REFUSED"
    HOST_NOT_FOUND = "HOST_NOT_FOUND"
    UNREACHABLE = "UNREACHABLE"
    TIMED_OUT = "TIMED_OUT"
    HOST_FAILED = "HOST_FAILED"
    REFUSED_BY_HOST = "REFUSED_BY_HOST"
    TOO_MANY_REDIRECTS = "TOO_MANY_REDIRECTS"
    TOO_LARGE = "TOO_LARGE"
    TYPE_UNSUPPORTED = "TYPE_UNSUPPORTED"
    CORRUPT = "CORRUPT"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"

    @property
    def may_pass(self) -> bool:
        """Whether another try later may well succeed."""
        return self in _PASSING


_PASSING = frozenset(
    {FetchFailure.HOST_NOT_FOUND, FetchFailure.UNREACHABLE, FetchFailure.TIMED_OUT, FetchFailure.HOST_FAILED}
)


class FetchFailed(Exception):
    """A picture was not fetched."""

    def __init__(self, failure: FetchFailure) -> None:
        super().__init__(failure.value)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """A picture that was given by its address, and what became of fetching it.

    failure: why the last try failed; None when none did. next_try_time: None when there will be no other.
    """

    image_id: UUID
    product_id: UUID
    url: str
    state: RemoteImageState
    failure: FetchFailure | None
    tries: int
    next_try_time: datetime | None


@dataclass(frozen=True, slots=True)
class ClaimedImage:
    """A picture that this process is to fetch now. tries: this one included."""

    image_id: UUID
    product_id: UUID
    seller_id: UUID
    host: str
    url: str
    tries: int


@dataclass(frozen=True, slots=True)
class RemoteImageQuery:
    """What a list of them is narrowed to. Empty: to all; `seller_ids` None: to those of all sellers. No repeats."""

    seller_ids: tuple[UUID, ...] | None
    states: tuple[RemoteImageState, ...] = ()
    product_ids: tuple[UUID, ...] = ()
