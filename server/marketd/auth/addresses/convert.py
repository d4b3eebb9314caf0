"""Between UserService's messages and the commands and values of address books."""

from __future__ import annotations

from uuid import UUID

from marketplace.auth.v1 import address_pb2
from marketplace.auth.v1 import user_service_pb2 as pb

from marketd.auth.addresses.book import AddressChange, NewAddress
from marketd.auth.addresses.values import SavedAddress
from marketd.kernel.values.etags import etag_of
from marketd.kernel.wire import from_address, from_update_mask, to_address, to_timestamp


def from_create_address(request: pb.CreateAddressRequest) -> NewAddress:
    """The address to save."""
    return NewAddress(request.label, from_address(request.address), request.is_default)


def from_update_address(request: pb.UpdateAddressRequest) -> AddressChange:
    """The change to make; without a mask, that of what has a value."""
    saved = request.address
    given = {name for name, has in (("label", bool(saved.label)), ("address", saved.HasField("address"))) if has}
    paths = from_update_mask(request.update_mask) or given
    return AddressChange(
        address_id=UUID(saved.address_id),
        etag=request.etag,
        label=saved.label if "label" in paths else None,
        address=from_address(saved.address) if "address" in paths else None,
    )


def to_saved_address(saved: SavedAddress) -> address_pb2.SavedAddress:
    """An address in its owner's book."""
    return address_pb2.SavedAddress(
        address_id=str(saved.address_id),
        label=saved.label,
        address=to_address(saved.address),
        is_default=saved.is_default,
        create_time=to_timestamp(saved.create_time),
        update_time=to_timestamp(saved.update_time),
        etag=etag_of(saved.version),
    )
