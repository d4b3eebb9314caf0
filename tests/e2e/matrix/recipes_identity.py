"""The recipes of what an account has beside its tokens, of service accounts, of address books, and of the audit log."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyotp
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from marketd.kernel.call.caller import Role
from marketplace.admin.v1 import admin_service_pb2
from marketplace.auth.v1 import address_pb2, user_pb2, user_service_pb2
from marketplace.auth.v1 import auth_service_pb2 as auth
from marketplace.policy.v1 import policy_pb2

from tests.canaries import MARK
from tests.e2e.matrix.scenes import (
    ADMIN,
    AUTHENTICATED,
    BUYER,
    COURIER,
    PUBLIC,
    SELLER,
    SERVICE,
    Book,
    Prepare,
    Scene,
    newcomer,
)
from tests.worlds.matrix import Market
from tests.worlds.things import PASSWORD, Person, address, new_key

AUTH = Book("marketplace.auth.v1.AuthService")
USER = Book("marketplace.auth.v1.UserService")
ADMINS = Book("marketplace.admin.v1.AdminService")
BOOKS = (AUTH, USER, ADMINS)

NEW_PASSWORD = f"another passphrase of the tests {MARK}"
EMAIL = auth.VERIFICATION_CHANNEL_EMAIL


async def new_address(market: Market, owner: Person) -> address_pb2.SavedAddress:
    """An address in the owner's book."""
    request = user_service_pb2.CreateAddressRequest(request_id=new_key(), address=_home())
    saved: address_pb2.SavedAddress = (await market.call(request, owner)).address
    return saved


def _home() -> address_pb2.SavedAddress:
    return address_pb2.SavedAddress(postal_address=address("Ada"), label="Home")


async def new_service(market: Market) -> auth.CreateServiceAccountResponse:
    """A service account, and its secret."""
    made: auth.CreateServiceAccountResponse = await market.call(_service_account(), market.admin)
    return made


def _service_account() -> auth.CreateServiceAccountRequest:
    return auth.CreateServiceAccountRequest(name=f"service-{secrets.token_hex(6)}")


def _fresh_email() -> str:
    return f"{secrets.token_hex(8)}@example.com"


def _simple(make: Callable[[], Message]) -> Prepare:
    """A call by a new account, which needs nothing but itself."""

    async def prepare(market: Market, who: str) -> Scene:
        return Scene(await newcomer(market, who), (make(),))

    return prepare


AUTH.add("LogoutAll", AUTHENTICATED)(_simple(auth.LogoutAllRequest))
AUTH.add("ListSessions", AUTHENTICATED)(_simple(lambda: auth.ListSessionsRequest(page_size=5)))
AUTH.add("SendVerification", AUTHENTICATED)(_simple(lambda: auth.SendVerificationRequest(channel=EMAIL)))
AUTH.add("EnrollTotp", AUTHENTICATED)(_simple(lambda: auth.EnrollTotpRequest(password=PASSWORD)))
AUTH.add("ChangeEmail", AUTHENTICATED)(
    _simple(lambda: auth.ChangeEmailRequest(email=_fresh_email(), password=PASSWORD))
)
AUTH.add("ChangePhone", AUTHENTICATED)(
    _simple(lambda: auth.ChangePhoneRequest(phone=f"+49{secrets.randbelow(10**10):010d}", password=PASSWORD))
)
AUTH.add("ChangePassword", AUTHENTICATED)(
    _simple(lambda: auth.ChangePasswordRequest(current_password=PASSWORD, new_password=NEW_PASSWORD))
)


@AUTH.add("RevokeSession", AUTHENTICATED)
async def revoke_session(market: Market, who: str) -> Scene:
    caller = await newcomer(market, who)
    other = await market.sign_in(caller.email)
    return Scene(caller, (auth.RevokeSessionRequest(session_id=other.session_id),))


@AUTH.add("Verify", AUTHENTICATED)
async def verify(market: Market, who: str) -> Scene:
    caller = await newcomer(market, who)
    await market.call(auth.SendVerificationRequest(channel=EMAIL), caller)
    code = await market.written_to(caller, "verification_code", "code")
    return Scene(caller, (auth.VerifyRequest(channel=EMAIL, code=code),))


@AUTH.add("UndoEmailChange", PUBLIC)
async def undo_email_change(market: Market, who: str) -> Scene:
    person = await market.register()
    moved = replace(person, email=_fresh_email())
    await market.call(auth.ChangeEmailRequest(email=moved.email, password=PASSWORD), person)
    code = await market.written_to(moved, "verification_code", "code")
    await market.call(auth.VerifyRequest(channel=EMAIL, code=code), person)
    return Scene(None, (auth.UndoEmailChangeRequest(token=await market.written_to(person, "email_changed", "token")),))


@AUTH.add("RequestPasswordReset", PUBLIC)
async def request_password_reset(market: Market, who: str) -> Scene:
    return Scene(None, (auth.RequestPasswordResetRequest(email=(await market.register()).email),))


@AUTH.add("ResetPassword", PUBLIC)
async def reset_password(market: Market, who: str) -> Scene:
    person = await market.register()
    await market.call(auth.RequestPasswordResetRequest(email=person.email))
    token = await market.written_to(person, "password_reset", "token")
    return Scene(None, (auth.ResetPasswordRequest(token=token, new_password=NEW_PASSWORD),))


async def _enrolled(market: Market, caller: Person) -> auth.ConfirmTotpRequest:
    secret = (await market.call(auth.EnrollTotpRequest(password=PASSWORD), caller)).secret
    return auth.ConfirmTotpRequest(totp_code=pyotp.TOTP(secret).now())


@AUTH.add("ConfirmTotp", AUTHENTICATED)
async def confirm_totp(market: Market, who: str) -> Scene:
    caller = await newcomer(market, who)
    return Scene(caller, (await _enrolled(market, caller),))


@AUTH.add("DisableTotp", AUTHENTICATED)
async def disable_totp(market: Market, who: str) -> Scene:
    """By a recovery code: the step of the authenticator's code is spent."""
    caller = await newcomer(market, who)
    codes = (await market.call(await _enrolled(market, caller), caller)).recovery_codes
    return Scene(caller, (auth.DisableTotpRequest(recovery_code=codes[0]),))


@AUTH.add("IssueServiceToken", PUBLIC)
async def issue_service_token(market: Market, who: str) -> Scene:
    made = await new_service(market)
    request = auth.IssueServiceTokenRequest(client_id=made.service_account.client_id, client_secret=made.client_secret)
    return Scene(None, (request,))


@AUTH.add("CreateServiceAccount", ADMIN)
async def create_service_account(market: Market, who: str) -> Scene:
    return Scene(market.admin, (_service_account(),))


@AUTH.add("ListServiceAccounts", ADMIN)
async def list_service_accounts(market: Market, who: str) -> Scene:
    return Scene(market.admin, (auth.ListServiceAccountsRequest(page_size=5),))


@AUTH.add("RevokeServiceAccount", ADMIN)
async def revoke_service_account(market: Market, who: str) -> Scene:
    account = (await new_service(market)).service_account
    return Scene(market.admin, (auth.RevokeServiceAccountRequest(service_account_id=account.service_account_id),))


@USER.add("BatchGetUsers", SERVICE)
async def batch_get_users(market: Market, who: str) -> Scene:
    wanted = [market.buyer.user_id, market.admin.user_id]
    return Scene(market.service, (user_service_pb2.BatchGetUsersRequest(user_ids=wanted),))


@USER.add("UpdateUser", BUYER, SELLER, COURIER, ADMIN)
async def update_user(market: Market, who: str) -> Scene:
    caller = await newcomer(market, who)
    request = user_service_pb2.UpdateUserRequest(
        user=user_pb2.User(user_id=caller.user_id, full_name="Grace Hopper"),
        update_mask=FieldMask(paths=["full_name"]),
    )
    return Scene(caller, (request,))


@USER.add("DeleteUser", BUYER, SELLER, COURIER, ADMIN)
async def delete_user(market: Market, who: str) -> Scene:
    caller = await newcomer(market, who)
    return Scene(caller, (user_service_pb2.DeleteUserRequest(user_id=caller.user_id, password=PASSWORD),))


@USER.add("CreateAddress", BUYER, SELLER, COURIER, ADMIN)
async def create_address(market: Market, who: str) -> Scene:
    request = user_service_pb2.CreateAddressRequest(request_id=new_key(), address=_home())
    return Scene(await newcomer(market, who), (request,))


@USER.add("ListAddresses", BUYER, SELLER, COURIER, ADMIN)
async def list_addresses(market: Market, who: str) -> Scene:
    caller = await newcomer(market, who)
    await new_address(market, caller)
    return Scene(caller, (user_service_pb2.ListAddressesRequest(page_size=5),))


@USER.add("GetAddress", BUYER, SELLER, COURIER, ADMIN)
async def get_address(market: Market, who: str) -> Scene:
    return await _about_address(market, who, user_service_pb2.GetAddressRequest)


@USER.add("DeleteAddress", BUYER, SELLER, COURIER, ADMIN)
async def delete_address(market: Market, who: str) -> Scene:
    return await _about_address(market, who, user_service_pb2.DeleteAddressRequest)


@USER.add("SetDefaultAddress", BUYER, SELLER, COURIER, ADMIN)
async def set_default_address(market: Market, who: str) -> Scene:
    return await _about_address(market, who, user_service_pb2.SetDefaultAddressRequest)


async def _about_address(market: Market, who: str, request: type[Any]) -> Scene:
    caller = await newcomer(market, who)
    saved = [await new_address(market, caller) for _ in range(2)]
    return Scene(caller, (request(address_id=saved[1].address_id),))


@USER.add("UpdateAddress", BUYER, SELLER, COURIER, ADMIN)
async def update_address(market: Market, who: str) -> Scene:
    caller = await newcomer(market, who)
    saved = await new_address(market, caller)
    request = user_service_pb2.UpdateAddressRequest(
        address=address_pb2.SavedAddress(
            address_id=saved.address_id, label="Work", postal_address=address("Ada", 13.42), etag=saved.etag
        ),
        update_mask=FieldMask(paths=["label", "postal_address"]),
    )
    return Scene(caller, (request,))


@USER.add("ListUsers", ADMIN)
async def list_users(market: Market, who: str) -> Scene:
    request = user_service_pb2.ListUsersRequest(
        page_size=5, states=[user_pb2.USER_STATE_ACTIVE], roles=[policy_pb2.ROLE_BUYER]
    )
    return Scene(market.admin, (request,))


@USER.add("SetUserRoles", ADMIN)
async def set_user_roles(market: Market, who: str) -> Scene:
    person = await market.person(Role.BUYER)
    request = user_service_pb2.SetUserRolesRequest(
        request_id=new_key(),
        user_id=person.user_id,
        roles=[policy_pb2.ROLE_BUYER, policy_pb2.ROLE_COURIER],
        reason="rides",
    )
    return Scene(market.admin, (request,))


@USER.add("BlockUser", ADMIN)
async def block_user(market: Market, who: str) -> Scene:
    person = await market.person(Role.BUYER)
    return Scene(market.admin, (user_service_pb2.BlockUserRequest(user_id=person.user_id, reason="fraud"),))


@USER.add("UnblockUser", ADMIN)
async def unblock_user(market: Market, who: str) -> Scene:
    person = await market.blocked()
    return Scene(market.admin, (user_service_pb2.UnblockUserRequest(user_id=person.user_id, reason="a mistake"),))


@ADMINS.add("ListAuditEntries", ADMIN)
async def list_audit_entries(market: Market, who: str) -> Scene:
    return Scene(market.admin, (admin_service_pb2.ListAuditEntriesRequest(page_size=5),))
