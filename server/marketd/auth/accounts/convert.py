"""Between UserService's messages and the commands and values of accounts."""

from __future__ import annotations

from uuid import UUID

from marketplace.auth.v1 import user_pb2
from marketplace.auth.v1 import user_service_pb2 as pb
from marketplace.policy.v1 import policy_pb2

from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.roles import RolesChange
from marketd.auth.accounts.update import CHANGEABLE, UserChange
from marketd.auth.accounts.values import Account, UserFilter
from marketd.kernel.call.caller import Role
from marketd.kernel.enums import EnumMap
from marketd.kernel.values.etags import etag_of
from marketd.kernel.wire import from_timestamp, from_update_mask, to_timestamp

ROLES = EnumMap(Role, policy_pb2.Role)
STATES = EnumMap(AccountState, user_pb2.UserState)


def to_user(account: Account) -> user_pb2.User:
    """An account as its owner sees it."""
    return user_pb2.User(
        user_id=str(account.user_id),
        # What stands there of a deleted account is nobody's address.
        email="" if account.state is AccountState.DELETED else account.email,
        username=account.username,
        phone=account.phone,
        full_name=account.full_name,
        roles=ROLES.all_to_wire(account.roles),
        state=STATES.to_wire(account.state),
        email_verified=account.email_verified,
        phone_verified=account.phone_verified,
        totp_enabled=account.totp_enabled,
        create_time=to_timestamp(account.create_time),
        update_time=to_timestamp(account.update_time),
        etag=etag_of(account.version),
    )


def from_update_user(request: pb.UpdateUserRequest, user_id: UUID) -> UserChange:
    """The change to make; without a mask, that of all fields that have a value."""
    user = request.user
    given = frozenset(name for name in CHANGEABLE if getattr(user, name))
    return UserChange(
        user_id=user_id,
        paths=from_update_mask(request.update_mask) or given,
        etag=request.etag,
        email=user.email,
        username=user.username,
        phone=user.phone,
        full_name=user.full_name,
    )


def from_list_users(request: pb.ListUsersRequest) -> UserFilter:
    """The filter; what was not given leaves nothing out."""
    return UserFilter(
        states=STATES.all_from_wire(sorted(request.states)),
        role=ROLES.from_wire(request.role) if request.HasField("role") else None,
        query=request.query.strip(),
        create_time_from=(
            from_timestamp(request.create_time_from, "create_time_from")
            if request.HasField("create_time_from")
            else None
        ),
        create_time_before=(
            from_timestamp(request.create_time_before, "create_time_before")
            if request.HasField("create_time_before")
            else None
        ),
    )


def from_set_user_roles(request: pb.SetUserRolesRequest) -> RolesChange:
    """The roles to have."""
    roles = frozenset(ROLES.all_from_wire(request.roles))
    return RolesChange(UUID(request.user_id), roles, request.reason, request.etag)
