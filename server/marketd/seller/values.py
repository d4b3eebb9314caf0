"""Seller's values: what its use cases take and give. No tables, SQL or protobuf here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from marketd.audit.changes import UNSAID
from marketd.kernel.values.address import Address
from marketd.kernel.values.ratings import Rating
from marketd.media.images.held import HeldImage, ImageChange
from marketd.seller.model import SellerState


@dataclass(frozen=True, slots=True)
class Contact:
    """How to reach the shop; empty texts mean none."""

    name: str = ""
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A time on the shop's own clock, to the minute; 24:00 is the end of a day, which `datetime.time` cannot say."""

    hours: int
    minutes: int = 0

    def __str__(self) -> str:
        return f"{self.hours:02}:{self.minutes:02}"


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """One span a week: `day` 1 (Monday) to 7; a `close_time` that is not after `open_time` means the next day."""

    day: int
    open_time: TimeOfDay
    close_time: TimeOfDay


@dataclass(frozen=True, slots=True)
class OpeningSpan:
    """One span of a certain day; a `close_time` that is not after `open_time` means the next day."""

    open_time: TimeOfDay
    close_time: TimeOfDay


@dataclass(frozen=True, slots=True)
class OpeningException:
    """A day, by the shop's own clock, on which it is open otherwise than each week; no spans: closed that day.

    spans: 0..10, no two overlap.
    """

    date: date
    spans: tuple[OpeningSpan, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Seller:
    """A seller; `approve_time` is when it was first approved, None before. `shop_name_key` compares names.

    opening_hours: none means always; no two overlap. opening_exceptions: 0..366, unique date.
    """

    seller_id: UUID
    owner_user_id: UUID
    handle: str
    shop_name: str
    shop_name_key: str
    description: str
    logo: HeldImage | None
    state: SellerState
    state_reason: str
    pickup_address: Address | None
    contact: Contact
    prep_duration: timedelta
    time_zone: str
    opening_hours: tuple[OpeningHours, ...]
    opening_exceptions: tuple[OpeningException, ...]
    approve_time: datetime | None
    create_time: datetime
    update_time: datetime
    version: int
    rating: Rating = field(default=Rating(), metadata=UNSAID)

    @property
    def sells(self) -> bool:
        """Whether anything of the seller may be bought now."""
        return self.state is SellerState.ACTIVE


@dataclass(frozen=True, slots=True)
class NewSeller:
    """A seller to be made. An empty handle is made from the shop's name, an empty time zone is UTC.

    prep_duration: at most a day.
    """

    handle: str
    shop_name: str
    description: str
    pickup_address: Address
    contact: Contact
    prep_duration: timedelta
    time_zone: str
    opening_hours: tuple[OpeningHours, ...]
    opening_exceptions: tuple[OpeningException, ...] = ()
    logo: ImageChange | None = None


@dataclass(frozen=True, slots=True)
class SellerChange:
    """New values for what is not None; `pickup_address` and `contact` make the new one of the former.

    An empty time zone is UTC, an empty etag is unconditional.
    """

    seller_id: UUID
    etag: str
    shop_name: str | None
    description: str | None
    pickup_address: Callable[[Address], Address] | None
    contact: Callable[[Contact], Contact] | None
    prep_duration: timedelta | None
    time_zone: str | None
    opening_hours: tuple[OpeningHours, ...] | None
    opening_exceptions: tuple[OpeningException, ...] | None
    logo: ImageChange | None


@dataclass(frozen=True, slots=True)
class SellerQuery:
    """Which sellers to list: in these states (none says: what the caller is shown without asking), whose name key
    begins with `name_prefix`; by `order`, a name of repository.ORDERS.
    """

    states: tuple[SellerState, ...]
    name_prefix: str
    order: str
    descending: bool


@dataclass(frozen=True, slots=True)
class SellerMove:
    """Which seller to approve, reject, suspend, reinstate or close, and why; an empty etag does so whatever happened to
    it since it was read.
    """

    seller_id: UUID
    reason: str
    etag: str
