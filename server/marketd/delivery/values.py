"""What the slice hands around: couriers, shifts, deliveries, estimates. Tracking gets the same values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from marketd.audit.changes import UNSAID
from marketd.delivery.model import (
    CourierState,
    DeliveryActor,
    DeliveryOutcome,
    DeliveryState,
    FailureReason,
    StopKind,
    Vehicle,
)
from marketd.kernel.values.address import Address
from marketd.kernel.values.geo import Point
from marketd.kernel.values.money import Money
from marketd.kernel.values.ratings import NO_RATINGS, Rating


@dataclass(frozen=True, slots=True)
class Eta:
    """When something is expected at the buyer's door, and when that was estimated."""

    expected_time: datetime
    earliest_time: datetime
    latest_time: datetime
    estimate_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestPosition:
    """Where a courier was last seen; `sample_time` is the device's clock, or `receive_time` where that is earlier."""

    courier_id: UUID
    sample_time: datetime
    receive_time: datetime
    latitude: float
    longitude: float
    speed_mps: float | None
    heading_degrees: float | None
    accuracy_meters: float | None
    seq: int

    @property
    def point(self) -> Point:
        """The place on the map."""
        return Point(self.latitude, self.longitude)


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """A courier; `shift_id` and `shift_vehicle` are those of the running shift, None when none runs."""

    courier_id: UUID
    user_id: UUID
    first_name: str
    last_name: str
    phone: str
    vehicle: Vehicle
    plate_number: str
    state: CourierState
    state_reason: str = ""
    rating_counts: tuple[int, ...] = NO_RATINGS
    completed_deliveries: int = 0
    create_time: datetime
    update_time: datetime
    approve_time: datetime | None = None
    version: int = 1
    shift_id: UUID | None = None
    shift_vehicle: Vehicle | None = None

    @property
    def rating(self) -> Rating:
        """How buyers rated the courier."""
        return Rating(self.rating_counts)

    @property
    def on_shift(self) -> bool:
        """Whether a shift is running."""
        return self.shift_id is not None


@dataclass(frozen=True, slots=True)
class Shift:
    """A shift; it runs while there is no `end_time`."""

    shift_id: UUID
    courier_id: UUID
    vehicle: Vehicle
    start_time: datetime
    end_time: datetime | None
    completed_deliveries: int
    version: int


@dataclass(frozen=True, slots=True)
class Stop:
    """One of the two stops of a delivery; a shop may have given no address."""

    kind: StopKind
    address: Address | None
    arrive_time: datetime | None = None
    depart_time: datetime | None = None

    @property
    def point(self) -> Point | None:
        """The door on the map, when somebody placed it."""
        return self.address.point if self.address is not None else None


@dataclass(frozen=True, slots=True)
class DeliveryCourier:
    """What buyers and sellers may know of the courier who brings an order, and whose account that is."""

    courier_id: UUID
    user_id: UUID
    first_name: str = field(metadata=UNSAID)
    vehicle: Vehicle
    rating_counts: tuple[int, ...] = field(default=NO_RATINGS, metadata=UNSAID)

    @property
    def rating(self) -> Rating:
        """How buyers rated the courier."""
        return Rating(self.rating_counts)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a delivery ended otherwise than at the buyer's door, and who said so; an empty note means none."""

    reason: FailureReason
    note: str
    actor: DeliveryActor


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery, whole; convert decides who may see which part. `shift_id` is the shift in which it was assigned."""

    delivery_id: UUID
    order_id: UUID
    order_number: str
    seller_id: UUID
    owner_user_id: UUID
    buyer_id: UUID
    state: DeliveryState = DeliveryState.CREATED
    outcome: DeliveryOutcome | None = None
    failure: Failure | None = None
    courier: DeliveryCourier | None = None
    shift_id: UUID | None = None
    dropoff_code: str = field(repr=False)
    pickup: Stop
    dropoff: Stop
    eta: Eta | None
    fee_minor: int
    currency: str
    item_count: int
    proof_media_ids: tuple[UUID, ...] = ()
    create_time: datetime
    update_time: datetime
    ready_time: datetime | None
    offer_time: datetime | None = None
    assign_time: datetime | None = None
    pick_up_time: datetime | None = None
    close_time: datetime | None = None
    version: int = 1

    @property
    def courier_id(self) -> UUID | None:
        """Who brings it."""
        return self.courier.courier_id if self.courier is not None else None

    @property
    def state_time(self) -> datetime:
        """When it came into its present state, or to its present courier; a later step did not happen before."""
        times = [self.create_time, self.assign_time, self.pick_up_time, self.close_time]
        if self.state is DeliveryState.AT_PICKUP:
            times.append(self.pickup.arrive_time)
        if self.state is DeliveryState.AT_DROPOFF:
            times.append(self.dropoff.arrive_time)
        return max(time for time in times if time is not None)

    @property
    def fee(self) -> Money:
        """What the buyer paid for the way."""
        return Money(self.fee_minor, self.currency)

    def stop(self, kind: StopKind) -> Stop:
        """One of its two stops."""
        return self.pickup if kind is StopKind.PICKUP else self.dropoff


@dataclass(frozen=True, slots=True)
class DropoffCode:
    """The buyer's code, the number of wrong ones since the last lock, and until when no code is looked at."""

    dropoff_code: str = field(repr=False)
    wrong_codes: int = field(repr=False)
    code_locked_until: datetime | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list; None and empty mean all."""

    states: tuple[DeliveryState, ...] = ()
    outcomes: tuple[DeliveryOutcome, ...] = ()
    order_ids: tuple[UUID, ...] = ()
    buyer_ids: tuple[UUID, ...] = ()
    seller_ids: tuple[UUID, ...] = ()
    courier_ids: tuple[UUID, ...] = ()
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None
    close_time_from: datetime | None = None
    close_time_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeliveryOrder:
    """How to sort a list: by the time of making or of closing, what is open counting as closed last."""

    by_close_time: bool = False
    is_descending: bool = True


@dataclass(frozen=True, slots=True)
class CourierFilter:
    """Which couriers to list, and whether those who applied last come first; empty means all."""

    states: tuple[CourierState, ...] = ()
    user_ids: tuple[UUID, ...] = ()
    is_descending: bool = True


DeliveryCursor: TypeAlias = tuple[datetime | None, UUID]
"""Where a page ended: the close time and the id of its last delivery."""
