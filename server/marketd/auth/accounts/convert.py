"""Between UserService's messages and the commands and values of accounts and addresses."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask
from marketplace.auth.v1 import address_pb2, user_pb2
from marketplace.auth.v1 import user_service_pb2 as pb
from marketplace.policy.v1 import policy_pb2

from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.user_repository import UserFilter
from marketd.auth.accounts.users import RolesChange, UserChange
from marketd.auth.addresses.book import AddressChange, NewAddress
from marketd.auth.addresses.repository import SavedAddress
from marketd.kernel.call.caller import Role
from marketd.kernel.values.etags import etag_of
from marketd.kernel.values.ids import parse_id
from marketd.kernel.wire import from_address, from_timestamp, from_update_mask, to_address, to_timestamp

_USER_FIELDS = ("email", "username", "phone", "full_name")


def from_update_user(request: pb.UpdateUserRequest, user_id: UUID) -> UserChange:
    """The change to make; without a mask, that of all fields that have a value."""
    user = request.user
    given = [name for name in _USER_FIELDS if getattr(user, name)]
    return UserChange(
        user_id=user_id,
        paths=_paths(request.update_mask, given),
        etag=request.etag,
        email=user.email,
        username=user.username,
        phone=user.phone,
        full_name=user.full_name,
    )


def from_list_users(request: pb.ListUsersRequest) -> UserFilter:
    """The filter; what was not given leaves nothing out."""
    return UserFilter(
        states=tuple(
            AccountState(user_pb2.UserState.Name(state).removeprefix("USER_STATE_")) for state in sorted(request.states)
        ),
        role=from_role(request.role) if request.HasField("role") else None,
        query=request.query.strip(),
        create_time_from=from_timestamp(request.create_time_from, "create_time_from")
        if request.HasField("create_time_from")
        else None,
        create_time_before=(
            from_timestamp(request.create_time_before, "create_time_before")
            if request.HasField("create_time_before")
            else None
        ),
    )


def from_set_user_roles(request: pb.SetUserRolesRequest) -> RolesChange:
    """The roles to have."""
    roles = frozenset(from_role(role) for role in request.roles)
    return RolesChange(parse_id(request.user_id), roles, request.reason, request.etag)


def from_role(role: policy_pb2.Role.ValueType) -> Role:
    """A role of the contract, which is not the unspecified one."""
    return Role(policy_pb2.Role.Name(role).removeprefix("ROLE_"))


def from_create_address(request: pb.CreateAddressRequest) -> NewAddress:
    """The address to save."""
    return NewAddress(request.label, from_address(request.address), request.is_default)


def from_update_address(request: pb.UpdateAddressRequest) -> AddressChange:
    """The change to make; without a mask, that of what has a value."""
    saved = request.address
    given = [name for name, has in (("label", bool(saved.label)), ("address", saved.HasField("address"))) if has]
    paths = _paths(request.update_mask, given)
    return AddressChange(
        address_id=parse_id(saved.address_id),
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


def _paths(mask: FieldMask, given: Collection[str]) -> frozenset[str]:
    return from_update_mask(mask) or frozenset(given)
