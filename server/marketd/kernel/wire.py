"""Between the contract's shared types and ours: money, instants, spans, points, addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal
from google.type.latlng_pb2 import LatLng
from google.type.money_pb2 import Money as MoneyMessage
from marketplace.type.v1 import rating_pb2, watch_pb2
from marketplace.type.v1.address_pb2 import Address as AddressMessage

from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.enums import EnumMap
from marketd.kernel.events.watch import ResetReason
from marketd.kernel.values.address import Address
from marketd.kernel.values.geo import Point
from marketd.kernel.values.money import Money, minor_digits
from marketd.kernel.values.ratings import Rating
from marketd.kernel.values.tax import percent_of, rate_of

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
RESET_REASONS: Final = EnumMap(ResetReason, watch_pb2.StreamResetReason)
_RESET_WORDS: Final = {
    ResetReason.TOKEN_TOO_OLD: "The resume token is older than 24 hours; a snapshot follows.",
    ResetReason.TOKEN_UNKNOWN: "The resume token is not one of this stream; a snapshot follows.",
    ResetReason.EVENTS_LOST: "What happened after the resume token is not kept any more; a snapshot follows.",
}


def to_money(money: Money) -> MoneyMessage:
    """google.type.Money: whole units and nanos of the same sign."""
    digits = minor_digits(money.currency)
    sign = -1 if money.amount_minor < 0 else 1
    units, rest = divmod(abs(money.amount_minor), 10**digits)
    return MoneyMessage(currency_code=money.currency, units=sign * units, nanos=sign * rest * 10 ** (9 - digits))


def from_money(message: MoneyMessage, currency: str, field: str) -> Money:
    """Our money; another currency than the marketplace's, or a fraction of a minor unit, is refused by field path."""
    if message.currency_code != currency:
        raise ValidationFailed(FieldViolation(f"{field}.currency_code", f"this marketplace trades in {currency}"))
    scale = 10 ** (9 - minor_digits(currency))
    if message.nanos % scale:
        raise ValidationFailed(FieldViolation(f"{field}.nanos", f"{currency} has no amount this small"))
    return Money(message.units * 10 ** minor_digits(currency) + message.nanos // scale, currency)


def to_rating(rating: Rating) -> rating_pb2.RatingSummary:
    """marketplace.type.v1.RatingSummary; neither mean nor histogram when there are no ratings."""
    return rating_pb2.RatingSummary(
        average=rating.average, count=rating.count, histogram=rating.counts if rating.count else ()
    )


def to_percent(rate: int) -> Decimal:
    """google.type.Decimal: the percentage of a rate of kernel.values.tax."""
    return Decimal(value=percent_of(rate))


def from_percent(message: Decimal, field: str) -> int:
    """A rate of kernel.values.tax; what is no percentage from 0 to 100 with at most 4 decimals is refused."""
    try:
        return rate_of(message.value)
    except ValueError as error:
        raise ValidationFailed(FieldViolation(field, str(error))) from error


def to_timestamp(instant: datetime) -> Timestamp:
    """A protobuf Timestamp of an aware datetime."""
    since = instant - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def micros_to_timestamp(micros: int) -> Timestamp:
    """A protobuf Timestamp of microseconds since the epoch."""
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1_000)


def from_timestamp(message: Timestamp, field: str) -> datetime:
    """An aware UTC datetime, to the microsecond; what is no instant (the parser takes any numbers) is refused."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except ValueError as error:
        raise ValidationFailed(FieldViolation(field, "must be an instant of the years 1 to 9999")) from error


def to_duration(span: timedelta) -> Duration:
    """A protobuf Duration."""
    message = Duration()
    message.FromTimedelta(span)
    return message


def from_duration(message: Duration) -> timedelta:
    """A span to the microsecond; its range was checked by the contract's rules."""
    return message.ToTimedelta()


def from_interval(request: Message, name: str) -> tuple[datetime | None, datetime | None]:
    """The instants in `<name>_from` and `<name>_before`, each None when it was not given.

    Raises ValidationFailed when the interval ends before it begins.
    """
    begin, end = (
        from_timestamp(getattr(request, field), field) if request.HasField(field) else None
        for field in (f"{name}_from", f"{name}_before")
    )
    if begin is not None and end is not None and end < begin:
        raise ValidationFailed(FieldViolation(f"{name}_before", f"must not be before {name}_from"))
    return begin, end


def to_latlng(point: Point) -> LatLng:
    """google.type.LatLng."""
    return LatLng(latitude=point.latitude, longitude=point.longitude)


def from_latlng(message: LatLng) -> Point:
    """Our point; ranges were checked by the contract's rules."""
    return Point(message.latitude, message.longitude)


def to_address(address: Address) -> AddressMessage:
    """marketplace.type.v1.Address; the point stays absent when there is none."""
    return AddressMessage(
        recipient=address.recipient,
        phone=address.phone,
        lines=address.lines,
        city=address.city,
        region=address.region,
        postal_code=address.postal_code,
        region_code=address.region_code,
        point=None if address.point is None else to_latlng(address.point),
        entrance=address.entrance,
        floor=address.floor,
        notes=address.notes,
    )


def from_address(message: AddressMessage) -> Address:
    """Our address; its rules were checked by the contract's."""
    return Address(
        recipient=message.recipient,
        phone=message.phone,
        lines=tuple(message.lines),
        city=message.city,
        region=message.region,
        postal_code=message.postal_code,
        region_code=message.region_code,
        point=from_latlng(message.point) if message.HasField("point") else None,
        entrance=message.entrance,
        floor=message.floor,
        notes=message.notes,
    )


def to_stream_reset(reason: ResetReason) -> watch_pb2.StreamReset:
    """marketplace.type.v1.StreamReset: the reason, and the same in words."""
    return watch_pb2.StreamReset(reason=RESET_REASONS.to_wire(reason), message=_RESET_WORDS[reason])
