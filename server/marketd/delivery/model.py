"""The tables of delivery, the states of couriers and deliveries, and which state may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.call.refusals import IllegalTransition
from marketd.kernel.db.database import Base
from marketd.kernel.values.transitions import Transitions


class CourierState(StrEnum):
    """Where a courier's account as a courier stands (marketplace.delivery.v1.CourierState)."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    REJECTED = "REJECTED"
    CLOSED = "CLOSED"

    @property
    def is_live(self) -> bool:
        """Whether the account can have no other courier beside this one."""
        return self not in _OVER


class Vehicle(StrEnum):
    """What a courier moves with (marketplace.delivery.v1.VehicleType)."""

    FOOT = "FOOT"
    BICYCLE = "BICYCLE"
    SCOOTER = "SCOOTER"
    MOTORCYCLE = "MOTORCYCLE"
    CAR = "CAR"
    VAN = "VAN"


class DeliveryState(StrEnum):
    """Where a delivery stands (marketplace.delivery.v1.DeliveryState)."""

    CREATED = "CREATED"
    OFFERING = "OFFERING"
    ASSIGNED = "ASSIGNED"
    AT_PICKUP = "AT_PICKUP"
    PICKED_UP = "PICKED_UP"
    AT_DROPOFF = "AT_DROPOFF"
    CLOSED = "CLOSED"

    @property
    def is_open(self) -> bool:
        """Whether the delivery has not ended."""
        return self is not DeliveryState.CLOSED

    @property
    def is_picked_up(self) -> bool:
        """Whether the courier has the goods."""
        return self in _IN_HANDS


class DeliveryOutcome(StrEnum):
    """How a delivery ended (marketplace.delivery.v1.DeliveryOutcome)."""

    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    RETURNED = "RETURNED"
    CANCELLED = "CANCELLED"


class FailureReason(StrEnum):
    """Why a delivery cannot be brought to the buyer (marketplace.delivery.v1.DeliveryFailureReason)."""

    BUYER_ABSENT = "BUYER_ABSENT"
    ADDRESS_WRONG = "ADDRESS_WRONG"
    REFUSED = "REFUSED"
    DAMAGED = "DAMAGED"
    LOST = "LOST"
    UNSAFE = "UNSAFE"
    SHOP_CLOSED = "SHOP_CLOSED"
    NO_COURIER = "NO_COURIER"
    OTHER = "OTHER"


class DeliveryActor(StrEnum):
    """Who ended a delivery (marketplace.delivery.v1.DeliveryActor)."""

    COURIER = "COURIER"
    ADMIN = "ADMIN"


class StopKind(StrEnum):
    """The two stops of a delivery (marketplace.delivery.v1.StopKind)."""

    PICKUP = "PICKUP"
    DROPOFF = "DROPOFF"


class RemovalReason(StrEnum):
    """Why a delivery is a courier's no more (marketplace.delivery.v1.DeliveryRemovalReason)."""

    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"
    REASSIGNED = "REASSIGNED"


TRANSITIONS: Final = Transitions(
    "delivery",
    {
        DeliveryState.CREATED: (DeliveryState.ASSIGNED, DeliveryState.CLOSED),
        DeliveryState.OFFERING: (DeliveryState.ASSIGNED, DeliveryState.CLOSED),
        DeliveryState.ASSIGNED: (
            DeliveryState.AT_PICKUP,
            DeliveryState.PICKED_UP,
            DeliveryState.CREATED,
            DeliveryState.CLOSED,
        ),
        DeliveryState.AT_PICKUP: (
            DeliveryState.PICKED_UP,
            DeliveryState.ASSIGNED,
            DeliveryState.CREATED,
            DeliveryState.CLOSED,
        ),
        DeliveryState.PICKED_UP: (DeliveryState.AT_DROPOFF, DeliveryState.CLOSED),
        DeliveryState.AT_DROPOFF: (DeliveryState.PICKED_UP, DeliveryState.CLOSED),
        DeliveryState.CLOSED: (),
    },
)
"""Every legal step. The AT_* states come from the courier's positions; without a position they are skipped. Steps back
are those of a delivery that is taken from its courier.
"""

_BEFORE_PICKUP: Final = frozenset(
    {DeliveryState.CREATED, DeliveryState.OFFERING, DeliveryState.ASSIGNED, DeliveryState.AT_PICKUP}
)
_IN_HANDS: Final = frozenset({DeliveryState.PICKED_UP, DeliveryState.AT_DROPOFF})
CLOSE_KEY: Final = "COALESCE(close_time, 'infinity'::timestamp with time zone)"
"""What lists of deliveries by close time sort by: what is still open counts as closed later than everything else."""
ENDS: Final[Mapping[DeliveryOutcome, frozenset[DeliveryState]]] = {
    DeliveryOutcome.DELIVERED: _IN_HANDS,
    DeliveryOutcome.FAILED: _BEFORE_PICKUP | _IN_HANDS,
    DeliveryOutcome.RETURNED: _IN_HANDS,
    DeliveryOutcome.CANCELLED: _BEFORE_PICKUP,
}
"""From which states a delivery is CLOSED with which outcome."""
_OTHERWISE: Final[Mapping[DeliveryOutcome, str]] = {
    DeliveryOutcome.DELIVERED: "PickUpDelivery comes first",
    DeliveryOutcome.FAILED: "it cannot fail now",
    DeliveryOutcome.RETURNED: "nothing was picked up that could come back",
    DeliveryOutcome.CANCELLED: "what is picked up ends with FailDelivery or ReturnToSeller",
}

_OVER: Final = frozenset({CourierState.REJECTED, CourierState.CLOSED})
COURIER_TRANSITIONS: Final = Transitions(
    "courier",
    {
        CourierState.PENDING: (CourierState.ACTIVE, CourierState.REJECTED, CourierState.CLOSED),
        CourierState.ACTIVE: (CourierState.SUSPENDED, CourierState.CLOSED),
        CourierState.SUSPENDED: (CourierState.ACTIVE, CourierState.CLOSED),
        CourierState.REJECTED: (),
        CourierState.CLOSED: (CourierState.ACTIVE,),
    },
)
"""Every legal step of a courier. Who was rejected applies anew, which makes another courier."""


def check_end(current: DeliveryState, outcome: DeliveryOutcome) -> None:
    """Raises IllegalTransition unless a delivery in this state can be closed with this outcome."""
    if current not in ENDS[outcome]:
        raise not_so(current, _OTHERWISE[outcome])


def not_so(current: DeliveryState, otherwise: str) -> IllegalTransition:
    """That an open delivery in this state ends `otherwise`: to say that it can become CLOSED would be no help."""
    allowed = TRANSITIONS.allowed(current)
    message = f"The delivery is {current.value}; {otherwise}." if allowed else ""
    return IllegalTransition("delivery", current.value, allowed, message)


def _one_of(column: str, values: type[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


class CourierTable(Base):
    """Somebody who brings orders; an account has one who is not REJECTED or CLOSED. Its row lock keeps assignments and
    shifts apart.

    `rating_counts` are the ratings of 1 to 5 stars, in this order.
    """

    __tablename__ = "couriers"
    __table_args__ = (
        CheckConstraint(_one_of("state", CourierState), name="state"),
        CheckConstraint(_one_of("vehicle", Vehicle), name="vehicle"),
        CheckConstraint("cardinality(rating_counts) = 5", name="rating_counts_are_five"),
        Index(
            "uq_couriers_live_user_id",
            "user_id",
            unique=True,
            postgresql_where=text("state NOT IN ('REJECTED', 'CLOSED')"),
        ),
        Index(None, "user_id", "courier_id"),
        Index(None, "state", "courier_id"),
    )

    courier_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Uuid)
    first_name: Mapped[str] = mapped_column(Text)
    last_name: Mapped[str] = mapped_column(Text)
    phone: Mapped[str] = mapped_column(Text)
    vehicle: Mapped[str] = mapped_column(Text)
    plate_number: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    state_reason: Mapped[str] = mapped_column(Text, server_default=text("''"))
    rating_counts: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default=text("'{0,0,0,0,0}'"))
    completed_deliveries: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    approve_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))


class ShiftTable(Base):
    """The span in which a courier takes deliveries; one that runs has no end, and a courier has at most one of them."""

    __tablename__ = "shifts"
    __table_args__ = (
        CheckConstraint(_one_of("vehicle", Vehicle), name="vehicle"),
        CheckConstraint("end_time >= start_time", name="ends_after_start"),
        Index("uq_shifts_running", "courier_id", unique=True, postgresql_where=text("end_time IS NULL")),
        Index(None, "courier_id", "start_time"),
    )

    shift_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    courier_id: Mapped[UUID] = mapped_column(ForeignKey("couriers.courier_id"))
    vehicle: Mapped[str] = mapped_column(Text)
    start_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    end_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    completed_deliveries: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))


class CourierLatestPositionTable(Base):
    """Where a courier was last seen; tracking writes it, and `sample_time` never goes back: the device's clock, or
    `receive_time` where the device's is ahead of it.
    """

    __tablename__ = "courier_latest_positions"
    __table_args__ = (
        # NaN is above every number to Postgres, so these ranges keep it out as well.
        CheckConstraint("latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180", name="on_earth"),
    )

    courier_id: Mapped[UUID] = mapped_column(ForeignKey("couriers.courier_id"), primary_key=True)
    sample_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    receive_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    latitude: Mapped[float] = mapped_column(Float)
    longitude: Mapped[float] = mapped_column(Float)
    speed_mps: Mapped[float | None] = mapped_column(Float)
    heading_degrees: Mapped[float | None] = mapped_column(Float)
    accuracy_meters: Mapped[float | None] = mapped_column(Float)
    seq: Mapped[int] = mapped_column(BigInteger)


class DeliveryTable(Base):
    """One order on its way. Addresses are the order's, frozen; a shop may have given none. Of a person who has deleted
    the account nothing but the city is left in them.

    `vehicle` is the one of the courier's shift.

    `wrong_codes` counts wrong drop-off codes since the last lock; until `code_locked_until` no code is looked at.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint(_one_of("state", DeliveryState), name="state"),
        CheckConstraint(_one_of("outcome", DeliveryOutcome), name="outcome"),
        CheckConstraint("(state = 'CLOSED') = (outcome IS NOT NULL)", name="closed_has_outcome"),
        CheckConstraint("(state = 'CLOSED') = (close_time IS NOT NULL)", name="closed_has_time"),
        CheckConstraint(
            "courier_id IS NOT NULL OR state IN ('CREATED', 'OFFERING', 'CLOSED')", name="bringing_needs_courier"
        ),
        CheckConstraint(
            "pick_up_time IS NOT NULL OR state NOT IN ('PICKED_UP', 'AT_DROPOFF')", name="brought_was_picked_up"
        ),
        CheckConstraint(
            "pick_up_time IS NOT NULL OR outcome IS DISTINCT FROM 'DELIVERED'", name="delivered_was_picked_up"
        ),
        CheckConstraint(
            "pick_up_time IS NOT NULL OR outcome IS DISTINCT FROM 'RETURNED'", name="returned_was_picked_up"
        ),
        CheckConstraint(_one_of("failure_reason", FailureReason), name="failure_reason"),
        CheckConstraint(_one_of("failure_actor", DeliveryActor), name="failure_actor"),
        CheckConstraint("num_nonnulls(failure_reason, failure_note, failure_actor) IN (0, 3)", name="failure_is_whole"),
        CheckConstraint(
            "CASE WHEN outcome IN ('FAILED', 'RETURNED') THEN failure_reason IS NOT NULL"
            " WHEN outcome = 'CANCELLED' THEN true ELSE failure_reason IS NULL END",
            name="failed_has_reason",
        ),
        CheckConstraint("fee_minor >= 0", name="fee_is_not_negative"),
        CheckConstraint("wrong_codes >= 0", name="wrong_codes_are_counted"),
        CheckConstraint(
            "num_nonnulls(eta_expected_time, eta_earliest_time, eta_latest_time, eta_estimate_time) IN (0, 4)",
            name="eta_is_whole",
        ),
        Index("uq_deliveries_open_order", "order_id", unique=True, postgresql_where=text("state <> 'CLOSED'")),
        Index(None, "order_id"),
        Index(None, "buyer_id", "delivery_id"),
        Index(None, "owner_user_id", "delivery_id"),
        Index(None, "seller_id", "delivery_id"),
        Index(None, "courier_id", "delivery_id"),
        Index("ix_deliveries_close", text(CLOSE_KEY), "delivery_id"),
        *(
            Index(f"ix_deliveries_{owner}_close", owner, text(CLOSE_KEY), "delivery_id")
            for owner in ("buyer_id", "owner_user_id", "seller_id", "courier_id")
        ),
        Index("ix_deliveries_proofs", "close_time", postgresql_where=text("proof_media_ids <> '{}'")),
        Index("ix_deliveries_open_courier", "courier_id", postgresql_where=text("state <> 'CLOSED'")),
    )

    delivery_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    order_id: Mapped[UUID] = mapped_column(Uuid)
    order_number: Mapped[str] = mapped_column(Text)
    seller_id: Mapped[UUID] = mapped_column(Uuid)
    owner_user_id: Mapped[UUID] = mapped_column(Uuid)
    buyer_id: Mapped[UUID] = mapped_column(Uuid)
    state: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(Text)
    failure_reason: Mapped[str | None] = mapped_column(Text)
    failure_note: Mapped[str | None] = mapped_column(Text)
    failure_actor: Mapped[str | None] = mapped_column(Text)
    courier_id: Mapped[UUID | None] = mapped_column(ForeignKey("couriers.courier_id"))
    shift_id: Mapped[UUID | None] = mapped_column(ForeignKey("shifts.shift_id"))
    vehicle: Mapped[str | None] = mapped_column(Text)
    dropoff_code: Mapped[str] = mapped_column(Text)
    wrong_codes: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    code_locked_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    pickup: Mapped[dict[str, object] | None] = mapped_column(JSONB)
    dropoff: Mapped[dict[str, object]] = mapped_column(JSONB)
    pickup_arrive_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    pickup_depart_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    dropoff_arrive_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    dropoff_depart_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    eta_expected_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    eta_earliest_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    eta_latest_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    eta_estimate_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    fee_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    item_count: Mapped[int] = mapped_column(Integer)
    proof_media_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default=text("'{}'"))
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ready_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    offer_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    assign_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    pick_up_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    close_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
