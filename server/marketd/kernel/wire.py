"""Between the contract's shared types and ours: money, instants, points, addresses, and what an update changes.

The one kernel room with stubs. Updates are those of AIP-134: without a mask every settable field that has a value
changes, `*` is all of them, and a path may lead into a message of ours (`pickup_address.city`). What the server owns is
never changed; naming it is transport's to refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields as fields_of
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, TypeVar

from google.api import field_behavior_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.latlng_pb2 import LatLng
from google.type.money_pb2 import Money as MoneyMessage
from marketplace.type.v1 import watch_pb2
from marketplace.type.v1.address_pb2 import Address as AddressMessage

from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.enums import EnumMap
from marketd.kernel.events.watch import ResetReason
from marketd.kernel.values.address import Address
from marketd.kernel.values.geo import Point
from marketd.kernel.values.money import Money, minor_digits

M = TypeVar("M", bound=Message)

RESET_REASONS: Final = EnumMap(ResetReason, watch_pb2.StreamResetReason)
_RESET_WORDS: Final = {
    ResetReason.TOKEN_TOO_OLD: "The resume token is older than 24 hours; a snapshot follows.",
    ResetReason.TOKEN_UNKNOWN: "The resume token is not one of this stream; a snapshot follows.",
    ResetReason.EVENTS_LOST: "What happened after the resume token is not kept any more; a snapshot follows.",
}

EVERYTHING = "*"
_PACKAGE = "marketplace."
_FIXED = frozenset(
    {field_behavior_pb2.OUTPUT_ONLY, field_behavior_pb2.IMMUTABLE, field_behavior_pb2.INPUT_ONLY}
)  # input only: what is given at the start and shown nowhere


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


def to_duration(span: timedelta) -> Duration:
    """A protobuf Duration."""
    message = Duration()
    message.FromTimedelta(span)
    return message


def from_duration(message: Duration) -> timedelta:
    """A span to the microsecond; its range was checked by the contract's rules."""
    return message.ToTimedelta()


def from_update_mask(mask: FieldMask) -> frozenset[str]:
    """The fields that a caller wants changed; which ones may be is the contract's rule.

    That rule lets paths into an allowed field pass (`title.more`), which would change nothing without a word.
    """
    for index, path in enumerate(mask.paths):
        if "." in path:
            raise ValidationFailed(FieldViolation(f"update_mask.paths[{index}]", "must name a whole field"))
    return frozenset(mask.paths)


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


def behaviours(field: Any) -> frozenset[int]:
    """The google.api.FieldBehavior values of a field."""
    return frozenset(field.GetOptions().Extensions[field_behavior_pb2.field_behavior])


def is_ours(field: Any) -> bool:
    """Whether the field is one message of the contract's own, into which a path may lead."""
    message = field.message_type
    return message is not None and not field.is_repeated and message.full_name.startswith(_PACKAGE)


@cache
def settable(resource: Any) -> tuple[str, ...]:
    """The fields of a resource that an update may change, in their order; its etag is judged, not changed."""
    return tuple(field.name for field in resource.fields if field.name != "etag" and not behaviours(field) & _FIXED)


def has_value(message: Message, field: Any) -> bool:
    """Whether the field is set: present where presence is known, else more than empty, 0 or false."""
    if field.is_repeated or not field.has_presence:
        return bool(getattr(message, field.name))
    return message.HasField(field.name)


def update_paths(resource: Message, mask: FieldMask) -> frozenset[str]:
    """The paths to change, of fields or (only when the mask names them) of fields inside."""
    names = settable(resource.DESCRIPTOR)
    if not mask.paths:
        by_name = resource.DESCRIPTOR.fields_by_name
        return frozenset(name for name in names if has_value(resource, by_name[name]))
    if EVERYTHING in mask.paths:
        return frozenset(names)
    return frozenset(mask.paths)


def has_path(paths: frozenset[str], name: str) -> bool:
    """Whether the field, or something inside it, is to be changed."""
    return name in paths or any(path.startswith(f"{name}.") for path in paths)


def patch_message(current: M, given: M, paths: frozenset[str], name: str) -> M:
    """What the message in field `name` becomes: the given one, or the current one with the named parts replaced."""
    if name in paths:
        return given
    patched = type(current)()
    patched.CopyFrom(current)
    for path in paths:
        if path.startswith(f"{name}."):
            _copy(given, patched, path.removeprefix(f"{name}.").split("."))
    return patched


def _copy(source: Any, target: Any, steps: list[str]) -> None:
    name, *rest = steps
    if rest:
        _copy(getattr(source, name), getattr(target, name), rest)
        return
    target.ClearField(name)
    if has_value(source, source.DESCRIPTOR.fields_by_name[name]):
        one = type(source)()
        content = getattr(source, name)
        if source.DESCRIPTOR.fields_by_name[name].is_repeated:
            getattr(one, name).MergeFrom(content)
        elif source.DESCRIPTOR.fields_by_name[name].message_type is not None:
            getattr(one, name).CopyFrom(content)
        else:
            setattr(one, name, content)
        target.MergeFrom(one)


def address_patch(message: AddressMessage, paths: frozenset[str], name: str) -> Callable[[Address | None], Address]:
    """What makes the address in field `name` the new one: the whole of it, or what the paths name inside."""
    new = from_address(message)
    inside = {path.removeprefix(f"{name}.").split(".")[0] for path in paths if path.startswith(f"{name}.")}
    known = {field.name for field in fields_of(Address)}

    def patch(current: Address | None) -> Address:
        if name in paths or current is None:
            return new
        return replace(current, **{part: getattr(new, part) for part in inside & known})

    return patch
