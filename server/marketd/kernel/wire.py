"""Between the contract's shared types and ours: money, instants, points, addresses. The one kernel room with stubs."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.latlng_pb2 import LatLng
from google.type.money_pb2 import Money as MoneyMessage
from marketplace.type.v1.address_pb2 import Address as AddressMessage

from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.values.address import Address
from marketd.kernel.values.geo import Point
from marketd.kernel.values.money import Money, minor_digits


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


def to_timestamp(instant: datetime) -> Timestamp:
    """A protobuf Timestamp of an aware datetime."""
    message = Timestamp()
    message.FromDatetime(instant)
    return message


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


def from_update_mask(mask: FieldMask) -> frozenset[str]:
    """The fields that a caller wants changed; which ones may be is the contract's rule.

    That rule lets paths into an allowed field pass (`title.more`), which would change nothing without a word.
    """
    for index, path in enumerate(mask.paths):
        if "." in path:
            raise ValidationFailed(FieldViolation(f"update_mask.paths[{index}]", "must name a whole field"))
    return frozenset(mask.paths)


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
