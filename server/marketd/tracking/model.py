"""The tables of tracking. The points lie in a partition for each day (partitions.py); everything else is small beside
them. The points have no unique index of their own: the ledger's primary key is what stores a number once, and both are
written by one statement.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    Index,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE
from sqlalchemy.dialects.postgresql.ranges import MultiRange
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base

# `flags` is track.Flag; `sample_time` is the device's clock, `receive_time` the server's.
position_points = Table(
    "position_points",
    Base.metadata,
    Column("courier_id", Uuid, nullable=False),
    Column("uplink_id", Uuid, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("sample_time", DateTime(timezone=True), nullable=False),
    Column("receive_time", DateTime(timezone=True), nullable=False),
    Column("latitude", Float, nullable=False),
    Column("longitude", Float, nullable=False),
    Column("accuracy_meters", Float),
    Column("speed_mps", Float),
    Column("heading_degrees", Float),
    Column("mocked", Boolean, nullable=False),
    Column("battery_percent", SmallInteger),
    Column("flags", SmallInteger, nullable=False),
    # NaN is above every number to Postgres, so these ranges keep it out as well.
    CheckConstraint("latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180", name="on_earth"),
    Index(None, "courier_id", "sample_time"),
    postgresql_partition_by="RANGE (sample_time)",
)


class PositionNumberTable(Base):
    """One number of an uplink that was dealt with: stored when `reason` is null, else rejected for it.

    The key makes a duplicate harmless whatever it holds and whenever it comes, which no unique index on the partitioned
    points could do, because that would have to contain the day.
    """

    __tablename__ = "position_ledger"
    __table_args__ = (
        CheckConstraint("seq >= 1", name="seq_counts_from_one"),
        Index(
            "ix_position_ledger_rejected",
            "courier_id",
            "uplink_id",
            "seq",
            postgresql_where=text("reason IS NOT NULL"),
        ),
    )

    courier_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    uplink_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    reason: Mapped[int | None] = mapped_column(SmallInteger)


class PositionUplinkTable(Base):
    """A row of numbers that a courier's device counts; `last_time` is when it last said hello or reported.

    `passed_over` are numbers that were rejected without a row in the ledger, until a hello says that the client has
    heard of them; one that the ledger has as well was sent again. The highest stays.
    """

    __tablename__ = "position_uplinks"
    __table_args__ = (Index(None, "last_time"),)

    courier_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    uplink_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    device_id: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    passed_over: Mapped[MultiRange[int]] = mapped_column(INT8MULTIRANGE, server_default=text("'{}'::int8multirange"))


class CourierStreamTable(Base):
    """Which stream of a courier is the newest: each hello raises the epoch, and streams of a lower one end."""

    __tablename__ = "courier_streams"

    courier_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger)
    open_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class DeliveryPromiseTable(Base):
    """What was promised for a delivery and whether it was broken: `due_time` is the latest arrival of the first
    estimate that tracking saw, `late_time` when its watchers were told that it will be later.
    """

    __tablename__ = "delivery_promises"

    delivery_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    due_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    late_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
