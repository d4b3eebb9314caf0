"""Between seller's values and marketplace.seller.v1."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TypeAlias, cast
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.type.date_pb2 import Date
from google.type.dayofweek_pb2 import DayOfWeek
from google.type.timeofday_pb2 import TimeOfDay as TimeOfDayMessage
from marketplace.seller.v1 import seller_pb2, seller_service_pb2
from marketplace.type.v1 import address_pb2

from marketd.kernel.call.pages import parse_order
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.enums import EnumMap
from marketd.kernel.masks import has_path, patch, update_paths
from marketd.kernel.values.etags import etag_of
from marketd.kernel.values.texts import name_key
from marketd.kernel.wire import from_address, to_address, to_rating, to_timestamp
from marketd.media.images.convert import from_image, to_held_image
from marketd.seller.model import SellerState
from marketd.seller.repository import ORDERS
from marketd.seller.values import (
    Contact,
    NewSeller,
    OpeningException,
    OpeningHours,
    OpeningSpan,
    Seller,
    SellerChange,
    SellerMove,
    SellerQuery,
    TimeOfDay,
)

_Move: TypeAlias = (
    seller_service_pb2.ApproveSellerRequest
    | seller_service_pb2.RejectSellerRequest
    | seller_service_pb2.SuspendSellerRequest
    | seller_service_pb2.ReinstateSellerRequest
    | seller_service_pb2.CloseSellerRequest
)
_STATES = EnumMap(SellerState, seller_pb2.SellerState)


def from_seller(seller: seller_pb2.Seller, default_prep_duration: timedelta) -> NewSeller:
    """The seller to make."""
    return NewSeller(
        handle=seller.handle,
        shop_name=seller.shop_name,
        description=seller.description,
        pickup_address=from_address(seller.pickup_address),
        contact=_from_contact(seller.contact),
        prep_duration=_from_duration(seller, default_prep_duration),
        time_zone=seller.time_zone,
        opening_hours=_from_opening_hours(seller),
        opening_exceptions=_from_opening_exceptions(seller),
        logo=from_image(seller, "logo", "seller.logo", frozenset({"logo"})) if seller.HasField("logo") else None,
    )


def from_update(request: seller_service_pb2.UpdateSellerRequest, default_prep_duration: timedelta) -> SellerChange:
    """The change to make; a preparation time that is cleared is the default."""
    seller = request.seller
    paths = update_paths(seller, request.update_mask)
    moves, says_whom = has_path(paths, "pickup_address"), has_path(paths, "contact")
    return SellerChange(
        seller_id=UUID(seller.seller_id),
        etag=seller.etag,
        shop_name=seller.shop_name if "shop_name" in paths else None,
        description=seller.description if "description" in paths else None,
        pickup_address=patch(from_address(seller.pickup_address), paths, "pickup_address") if moves else None,
        contact=patch(_from_contact(seller.contact), paths, "contact") if says_whom else None,
        prep_duration=_from_duration(seller, default_prep_duration) if "prep_duration" in paths else None,
        time_zone=seller.time_zone if "time_zone" in paths else None,
        opening_hours=_from_opening_hours(seller) if "opening_hours" in paths else None,
        opening_exceptions=_from_opening_exceptions(seller) if "opening_exceptions" in paths else None,
        logo=from_image(seller, "logo", "seller.logo", paths),
    )


def from_list(request: seller_service_pb2.ListSellersRequest) -> SellerQuery:
    """The sellers to list. Raises ValidationFailed for an order that there is not."""
    order, descending = parse_order(request.order_by, ORDERS, "shop_name")
    return SellerQuery(
        states=tuple(_STATES.from_wire(state) for state in request.states),
        name_prefix=name_key(request.shop_name_prefix),
        order=order,
        descending=descending,
    )


def from_move(request: _Move) -> SellerMove:
    """What is to become of a seller."""
    return SellerMove(UUID(request.seller_id), request.reason, request.etag)


def to_seller(seller: Seller, media_url: str, *, whole: bool) -> seller_pb2.Seller:
    """A seller, its logo below `media_url`; with `whole` also what only the owner, admins and services may see."""
    message = seller_pb2.Seller(
        seller_id=str(seller.seller_id),
        handle=seller.handle,
        shop_name=seller.shop_name,
        description=seller.description or None,
        logo=to_held_image(seller.logo, media_url),
        state=_STATES.to_wire(seller.state),
        rating=to_rating(seller.rating),
        prep_duration=_to_duration(seller.prep_duration),
        time_zone=seller.time_zone,
        opening_hours=[
            seller_pb2.OpeningHours(
                day=cast("DayOfWeek.ValueType", span.day),
                open_time=_to_time_of_day(span.open_time),
                close_time=_to_time_of_day(span.close_time),
            )
            for span in seller.opening_hours
        ],
        opening_exceptions=[
            seller_pb2.OpeningException(
                date=Date(year=each.date.year, month=each.date.month, day=each.date.day),
                spans=[
                    seller_pb2.OpeningSpan(
                        open_time=_to_time_of_day(span.open_time), close_time=_to_time_of_day(span.close_time)
                    )
                    for span in each.spans
                ],
                note=each.note or None,
            )
            for each in seller.opening_exceptions
        ],
        approve_time=None if seller.approve_time is None else to_timestamp(seller.approve_time),
        create_time=to_timestamp(seller.create_time),
        update_time=to_timestamp(seller.update_time),
        etag=etag_of(seller.version),
    )
    if whole:
        if seller.state_reason:
            message.state_reason = seller.state_reason
        message.owner_user_id = str(seller.owner_user_id)
        if seller.pickup_address is not None:
            message.pickup_address.CopyFrom(to_address(seller.pickup_address))
        contact = seller.contact
        if contact != Contact():
            message.contact.CopyFrom(address_pb2.Contact(name=contact.name, phone=contact.phone, email=contact.email))
    return message


def _from_contact(message: address_pb2.Contact) -> Contact:
    return Contact(message.name, message.phone, message.email)


def _from_duration(seller: seller_pb2.Seller, default: timedelta) -> timedelta:
    return seller.prep_duration.ToTimedelta() if seller.HasField("prep_duration") else default


def _from_opening_hours(seller: seller_pb2.Seller) -> tuple[OpeningHours, ...]:
    return tuple(
        OpeningHours(int(span.day), _from_time_of_day(span.open_time), _from_time_of_day(span.close_time))
        for span in seller.opening_hours
    )


def _from_opening_exceptions(seller: seller_pb2.Seller) -> tuple[OpeningException, ...]:
    return tuple(
        OpeningException(
            _from_date(each.date, f"seller.opening_exceptions[{place}].date"),
            tuple(
                OpeningSpan(_from_time_of_day(span.open_time), _from_time_of_day(span.close_time))
                for span in each.spans
            ),
            each.note,
        )
        for place, each in enumerate(seller.opening_exceptions)
    )


def _to_duration(span: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(span)
    return message


def _from_date(message: Date, field: str) -> date:
    try:
        return date(message.year, message.month, message.day)
    except ValueError as error:
        problem = "is no day of the calendar; give year, month and day, such as 2026, 12 and 24"
        raise ValidationFailed(FieldViolation(field, problem)) from error


def _from_time_of_day(message: TimeOfDayMessage) -> TimeOfDay:
    return TimeOfDay(message.hours, message.minutes)


def _to_time_of_day(time: TimeOfDay) -> TimeOfDayMessage:
    return TimeOfDayMessage(hours=time.hours, minutes=time.minutes)
