"""Between seller's values and marketplace.seller.v1."""

from __future__ import annotations

from typing import cast

from google.type.dayofweek_pb2 import DayOfWeek
from marketplace.seller.v1 import seller_pb2, seller_service_pb2
from marketplace.type.v1 import address_pb2

from marketd.kernel.enums import EnumMap
from marketd.kernel.values.etags import etag_of
from marketd.kernel.wire import from_address, to_address, to_timestamp
from marketd.seller.model import SellerState
from marketd.seller.values import Contact, NewSeller, OpeningHours, Seller

_STATES = EnumMap(SellerState, seller_pb2.SellerState)


def from_create_seller(request: seller_service_pb2.CreateSellerRequest, default_prep_minutes: int) -> NewSeller:
    """The seller to make."""
    return NewSeller(
        handle=request.handle,
        shop_name=request.shop_name,
        description=request.description,
        pickup_address=from_address(request.pickup_address),
        contact=Contact(request.contact.name, request.contact.phone, request.contact.email),
        prep_minutes=request.prep_minutes if request.HasField("prep_minutes") else default_prep_minutes,
        time_zone=request.time_zone,
        opening_hours=tuple(
            OpeningHours(int(span.day), span.open_minute, span.close_minute) for span in request.opening_hours
        ),
    )


def to_seller(seller: Seller, *, whole: bool) -> seller_pb2.Seller:
    """A seller; with `whole` also what only the owner, admins and services may see."""
    message = seller_pb2.Seller(
        seller_id=str(seller.seller_id),
        handle=seller.handle,
        shop_name=seller.shop_name,
        description=seller.description,
        state=_STATES.to_wire(seller.state),
        prep_minutes=seller.prep_minutes,
        time_zone=seller.time_zone,
        opening_hours=[
            seller_pb2.OpeningHours(
                day=cast("DayOfWeek.ValueType", span.day), open_minute=span.open_minute, close_minute=span.close_minute
            )
            for span in seller.opening_hours
        ],
        approve_time=None if seller.approve_time is None else to_timestamp(seller.approve_time),
        create_time=to_timestamp(seller.create_time),
        update_time=to_timestamp(seller.update_time),
        etag=etag_of(seller.version),
    )
    if whole:
        message.state_reason = seller.state_reason
        message.owner_user_id = str(seller.owner_user_id)
        if seller.pickup_address is not None:
            message.pickup_address.CopyFrom(to_address(seller.pickup_address))
        contact = seller.contact
        message.contact.CopyFrom(address_pb2.Contact(name=contact.name, phone=contact.phone, email=contact.email))
    return message
