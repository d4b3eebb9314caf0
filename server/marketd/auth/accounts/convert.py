"""Between UserService's messages and the commands and values of accounts."""

from __future__ import annotations

from uuid import UUID

from marketplace.auth.v1 import user_pb2
from marketplace.auth.v1 import user_service_pb2 as pb
from marketplace.policy.v1 import policy_pb2

from marketd.auth.accounts.block import Barring
from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.roles import RolesChange
from marketd.auth.accounts.update import UserChange
from marketd.auth.accounts.values import Account, UserFilter
from marketd.kernel.call.caller import Role
from marketd.kernel.call.pages import parse_order
from marketd.kernel.enums import EnumMap
from marketd.kernel.masks import update_paths
from marketd.kernel.values.etags import etag_of
from marketd.kernel.wire import from_interval, to_timestamp

ROLES = EnumMap(Role, policy_pb2.Role)
STATES = EnumMap(AccountState, user_pb2.UserState)
ORDERS = ("create_time", "email")


def to_user(account: Account) -> user_pb2.User:
    """An account as its owner sees it."""
    return user_pb2.User(
        user_id=str(account.user_id),
        # What stands there of a deleted account is nobody's address.
        email="" if account.state is AccountState.DELETED else account.email,
        username=account.username or None,
        phone=account.phone or None,
        full_name=account.full_name or None,
        language_code=account.language_code or None,
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
    """The change to make of the account that the request names."""
    user = request.user
    return UserChange(
        user_id=user_id,
        paths=update_paths(user, request.update_mask),
        etag=user.etag,
        username=user.username,
        phone=user.phone,
        full_name=user.full_name,
        language_code=user.language_code,
    )


def from_list_users(request: pb.ListUsersRequest) -> UserFilter:
    """The filter and the order; what was not given leaves nothing out."""
    create_time_from, create_time_before = from_interval(request, "create_time")
    order, descending = parse_order(request.order_by, ORDERS, "create_time desc")
    return UserFilter(
        states=STATES.all_from_wire(sorted(request.states)),
        roles=ROLES.all_from_wire(sorted(request.roles)),
        query=request.query.strip(),
        create_time_from=create_time_from,
        create_time_before=create_time_before,
        order=order,
        descending=descending,
    )


def from_set_user_roles(request: pb.SetUserRolesRequest) -> RolesChange:
    """The roles to have."""
    roles = frozenset(ROLES.all_from_wire(request.roles))
    return RolesChange(UUID(request.user_id), roles, request.reason, request.etag)


def from_block_user(request: pb.BlockUserRequest | pb.UnblockUserRequest) -> Barring:
    """Whom to keep out, or to let in again."""
    return Barring(UUID(request.user_id), request.reason, request.etag)
