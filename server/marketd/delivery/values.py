"""What is read of couriers and deliveries: frozen values, made by the repository, used by servicers and by tracking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.delivery.states import CourierState, DeliveryOutcome, DeliveryState, StopKind, Vehicle
from marketd.kernel.values.address import Address
from marketd.kernel.values.geo import Point
from marketd.kernel.values.money import Money


@dataclass(frozen=True, slots=True)
class Rating:
    """How many ratings of 1 to 5 stars there are, in this order."""

    counts: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)

    @property
    def count(self) -> int:
        """How many there are in all."""
        return sum(self.counts)

    @property
    def average(self) -> float:
        """The mean, 1 to 5; 0 when there are none."""
        total = sum(stars * number for stars, number in enumerate(self.counts, start=1))
        return total / self.count if self.count else 0.0


@dataclass(frozen=True, slots=True)
class Eta:
    """When something is expected at the buyer's door, and when that was estimated."""

    expected_time: datetime
    earliest_time: datetime
    latest_time: datetime
    estimate_time: datetime


@dataclass(frozen=True, slots=True)
class LatestPosition:
    """Where a courier was last seen. `sample_time` is the device's clock, `receive_time` the server's."""

    courier_id: UUID
    sample_time: datetime
    receive_time: datetime
    point: Point
    speed_mps: float | None
    heading_degrees: float | None
    accuracy_meters: float | None
    seq: int


@dataclass(frozen=True, slots=True)
class CourierView:
    """A courier; `shift_id` and `shift_vehicle` are of the shift that runs, if one does."""

    courier_id: UUID
    user_id: UUID
    first_name: str
    last_name: str
    phone: str
    vehicle: Vehicle
    plate_number: str
    state: CourierState
    rating: Rating
    completed_deliveries: int
    create_time: datetime
    update_time: datetime
    approve_time: datetime | None
    version: int
    shift_id: UUID | None
    shift_vehicle: Vehicle | None

    @property
    def on_shift(self) -> bool:
        """Whether a shift is running."""
        return self.shift_id is not None


@dataclass(frozen=True, slots=True)
class ShiftView:
    """A shift; it runs while there is no `end_time`."""

    shift_id: UUID
    courier_id: UUID
    vehicle: Vehicle
    start_time: datetime
    end_time: datetime | None
    completed_deliveries: int


@dataclass(frozen=True, slots=True)
class StopView:
    """One of the two stops of a delivery; a shop may have given no address."""

    kind: StopKind
    address: Address | None
    arrive_time: datetime | None
    depart_time: datetime | None

    @property
    def point(self) -> Point | None:
        """The door on the map, when somebody placed it."""
        return self.address.point if self.address is not None else None


@dataclass(frozen=True, slots=True)
class BringerView:
    """What buyers and sellers may know of the courier who brings an order, and whose account that is."""

    courier_id: UUID
    user_id: UUID
    first_name: str
    vehicle: Vehicle
    rating: Rating


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery, whole. Who may see which part of it is convert's to decide."""

    delivery_id: UUID
    order_id: UUID
    order_number: str
    seller_id: UUID
    owner_user_id: UUID
    buyer_id: UUID
    state: DeliveryState
    outcome: DeliveryOutcome | None
    courier: BringerView | None
    dropoff_code: str
    pickup: StopView
    dropoff: StopView
    eta: Eta | None
    fee: Money
    item_count: int
    proof_media_ids: tuple[UUID, ...]
    create_time: datetime
    update_time: datetime
    ready_time: datetime | None
    offer_time: datetime | None
    assign_time: datetime | None
    at_pickup_time: datetime | None
    pick_up_time: datetime | None
    at_dropoff_time: datetime | None
    close_time: datetime | None
    version: int

    @property
    def courier_id(self) -> UUID | None:
        """Who brings it."""
        return self.courier.courier_id if self.courier is not None else None

    def watched(self) -> WatchedDelivery:
        """The part that tracking needs."""
        courier = self.courier
        return WatchedDelivery(
            delivery_id=self.delivery_id,
            order_id=self.order_id,
            buyer_id=self.buyer_id,
            owner_user_id=self.owner_user_id,
            courier_id=courier.courier_id if courier else None,
            courier_user_id=courier.user_id if courier else None,
            courier_first_name=courier.first_name if courier else None,
            courier_vehicle=courier.vehicle if courier else None,
            courier_rating=courier.rating if courier else None,
            state=self.state,
            outcome=self.outcome,
            pick_up_time=self.pick_up_time,
            close_time=self.close_time,
            pickup_point=self.pickup.point,
            dropoff_point=self.dropoff.point,
            eta=self.eta,
        )


@dataclass(frozen=True, slots=True)
class WatchedDelivery:
    """What tracking needs of a delivery: who may watch it, who brings it, between which points, and how far it is.

    The courier's fields are None together, before one is assigned. Points are None when nobody placed them.
    """

    delivery_id: UUID
    order_id: UUID
    buyer_id: UUID
    owner_user_id: UUID
    courier_id: UUID | None
    courier_user_id: UUID | None
    courier_first_name: str | None
    courier_vehicle: Vehicle | None
    courier_rating: Rating | None
    state: DeliveryState
    outcome: DeliveryOutcome | None
    pick_up_time: datetime | None
    close_time: datetime | None
    pickup_point: Point | None
    dropoff_point: Point | None
    eta: Eta | None
