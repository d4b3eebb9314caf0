"""Between UserService's messages and the commands and values of address books."""

from __future__ import annotations

from uuid import UUID

from marketplace.auth.v1 import address_pb2
from marketplace.auth.v1 import user_service_pb2 as pb

from marketd.auth.addresses.book import AddressChange, NewAddress
from marketd.auth.addresses.values import SavedAddress
from marketd.kernel.masks import has_path, patch, update_paths
from marketd.kernel.values.etags import etag_of
from marketd.kernel.wire import from_address, to_address, to_timestamp


def from_create_address(request: pb.CreateAddressRequest) -> NewAddress:
    """The address to save."""
    new = request.address
    return NewAddress(new.label, from_address(new.postal_address), new.primary)


def from_update_address(request: pb.UpdateAddressRequest) -> AddressChange:
    """The change to make."""
    saved = request.address
    paths = update_paths(saved, request.update_mask)
    moves = has_path(paths, "postal_address")
    return AddressChange(
        address_id=UUID(saved.address_id),
        etag=saved.etag,
        label=saved.label if "label" in paths else None,
        postal_address=patch(from_address(saved.postal_address), paths, "postal_address") if moves else None,
        primary=saved.primary if "primary" in paths else None,
    )


def to_saved_address(saved: SavedAddress) -> address_pb2.SavedAddress:
    """An address in its owner's book."""
    return address_pb2.SavedAddress(
        address_id=str(saved.address_id),
        label=saved.label or None,
        postal_address=to_address(saved.postal_address),
        primary=saved.primary,
        create_time=to_timestamp(saved.create_time),
        update_time=to_timestamp(saved.update_time),
        etag=etag_of(saved.version),
    )
