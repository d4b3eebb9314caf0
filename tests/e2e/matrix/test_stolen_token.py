"""A stolen access token, alive, without the refresh token: whatever is tried with it, the account stays its owner's."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import grpc
import pyotp
import pytest
from google.protobuf.message import Message
from marketplace.auth.v1 import address_pb2, user_pb2
from marketplace.auth.v1 import auth_service_pb2 as auth
from marketplace.auth.v1 import user_service_pb2 as users
from marketplace.policy.v1 import policy_pb2

from tests.canaries import MARK
from tests.worlds.matrix import Market
from tests.worlds.takeover import GUARDS
from tests.worlds.things import PASSWORD, Person, address, new_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

GUESS: Final = f"a thief's passphrase {MARK}"
WANTED: Final = f"the passphrase that the thief wants {MARK}"
OK: Final = grpc.StatusCode.OK
EMAIL, PHONE = auth.VERIFICATION_CHANNEL_EMAIL, auth.VERIFICATION_CHANNEL_PHONE


@dataclass(frozen=True)
class Loot:
    """What the thief has, and knows: the owner's account by its access token, and an account of their own."""

    owner: Person
    thief: Person
    email: str
    phone: str


def _proofs(make: Callable[..., Message]) -> list[Message]:
    """With every kind of proof, guessed, and without any."""
    return [make(password=GUESS), make(totp_code="123456"), make(recovery_code="AAAAA-AAAAA"), make()]


ATTACKS: Final[dict[str, Callable[[Loot], list[Message]]]] = {
    "Register": lambda loot: [
        auth.RegisterRequest(email=loot.owner.email, password=GUESS),
        auth.RegisterRequest(email=loot.email, phone=loot.phone, password=GUESS),
    ],
    "Login": lambda loot: [
        auth.LoginRequest(login=loot.owner.email, password=GUESS),
        auth.LoginRequest(login=loot.phone, password=GUESS, totp_code="123456"),
    ],
    "RefreshTokens": lambda loot: [auth.RefreshTokensRequest(refresh_token=loot.owner.token)],
    "Logout": lambda loot: [auth.LogoutRequest()],
    "LogoutAll": lambda loot: [auth.LogoutAllRequest()],
    "RevokeSession": lambda loot: [auth.RevokeSessionRequest(session_id=loot.owner.session_id)],
    "SendVerification": lambda loot: [auth.SendVerificationRequest(channel=each) for each in (EMAIL, PHONE)],
    "Verify": lambda loot: [auth.VerifyRequest(channel=each, code="123456") for each in (EMAIL, PHONE)],
    "ChangeEmail": lambda loot: _proofs(lambda **proof: auth.ChangeEmailRequest(email=loot.email, **proof)),
    "UndoEmailChange": lambda loot: [auth.UndoEmailChangeRequest(token=secrets.token_urlsafe(32))],
    "ChangePhone": lambda loot: [
        *_proofs(lambda **proof: auth.ChangePhoneRequest(phone="+491511234567", **proof)),
        *_proofs(lambda **proof: auth.ChangePhoneRequest(**proof)),
    ],
    "RequestPasswordReset": lambda loot: [
        auth.RequestPasswordResetRequest(email=each) for each in (loot.owner.email, loot.email)
    ],
    "ResetPassword": lambda loot: [
        auth.ResetPasswordRequest(token=secrets.token_urlsafe(32), new_password=GUESS),
        auth.ResetPasswordRequest(token=loot.owner.token[:128], new_password=GUESS),
    ],
    "ChangePassword": lambda loot: [auth.ChangePasswordRequest(current_password=GUESS, new_password=WANTED)],
    "EnrollTotp": lambda loot: [auth.EnrollTotpRequest(password=GUESS), auth.EnrollTotpRequest()],
    "ConfirmTotp": lambda loot: [auth.ConfirmTotpRequest(totp_code="123456")],
    "DisableTotp": lambda loot: [
        auth.DisableTotpRequest(totp_code="123456"),
        auth.DisableTotpRequest(recovery_code="AAAAA-AAAAA"),
        auth.DisableTotpRequest(),
    ],
    "IssueServiceToken": lambda loot: [
        auth.IssueServiceTokenRequest(client_id=loot.owner.user_id, client_secret=GUESS)
    ],
    "CreateServiceAccount": lambda loot: [auth.CreateServiceAccountRequest(name=f"thief-{secrets.token_hex(4)}")],
    "RevokeServiceAccount": lambda loot: [auth.RevokeServiceAccountRequest(service_account_id=loot.owner.user_id)],
    "UpdateUser": lambda loot: [
        _update(loot, email=loot.email),
        _update(loot, "email", email=loot.email),
        _update(loot, phone="+491511234567"),
        _update(loot, "phone"),
        _update(loot, "*", username=f"thief{secrets.token_hex(4)}", full_name="Thief", phone=loot.phone),
    ],
    "DeleteUser": lambda loot: _proofs(lambda **proof: users.DeleteUserRequest(user_id="me", **proof)),
    "CreateAddress": lambda loot: [
        users.CreateAddressRequest(address=address_pb2.SavedAddress(postal_address=address("Thief"), primary=True))
    ],
    "UpdateAddress": lambda loot: [
        users.UpdateAddressRequest(address=address_pb2.SavedAddress(address_id=loot.owner.user_id, label="Mine"))
    ],
    "DeleteAddress": lambda loot: [users.DeleteAddressRequest(address_id=loot.owner.user_id)],
    "SetDefaultAddress": lambda loot: [users.SetDefaultAddressRequest(address_id=loot.owner.user_id)],
    "SetUserRoles": lambda loot: [
        users.SetUserRolesRequest(request_id=new_key(), user_id=each.user_id, roles=[policy_pb2.ROLE_ADMIN])
        for each in (loot.owner, loot.thief)
    ],
    "BlockUser": lambda loot: [users.BlockUserRequest(user_id=loot.owner.user_id, reason="mine")],
    "UnblockUser": lambda loot: [users.UnblockUserRequest(user_id=loot.owner.user_id)],
}


def _update(loot: Loot, *paths: str, **fields: Any) -> Message:
    request = users.UpdateUserRequest(user=user_pb2.User(**{"user_id": "me", **fields}))
    request.update_mask.paths.extend(paths)
    return request


async def test_every_way_was_tried() -> None:
    assert set(ATTACKS) == {name for guards in GUARDS.values() for name in guards}


async def _confirmed(market: Market, person: Person, channel: Any, to: str) -> None:
    code = await market.written_to(replace(person, email=to), "verification_code", "code")
    await market.call(auth.VerifyRequest(channel=channel, code=code), person)


# What ends the session comes alone, the others a few together; not all, or their guesses are counted and wait.
_ENDING: Final = ("Logout", "LogoutAll", "RevokeSession")
_REST: Final = [name for name in ATTACKS if name not in _ENDING]
GROUPS: Final = [*([name] for name in _ENDING), *(_REST[start::4] for start in range(4))]


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
async def test_the_account_stays_its_owners(market: Market, names: list[str]) -> None:
    owner, thief = await market.register(), await market.register()
    phone = f"+49171{secrets.randbelow(10**8):08d}"
    await market.call(auth.SendVerificationRequest(channel=EMAIL), owner)
    await _confirmed(market, owner, EMAIL, owner.email)
    await market.call(auth.ChangePhoneRequest(phone=phone, password=PASSWORD), owner)
    await _confirmed(market, owner, PHONE, phone)
    secret = (await market.call(auth.EnrollTotpRequest(password=PASSWORD), owner)).secret
    confirm = auth.ConfirmTotpRequest(totp_code=pyotp.TOTP(secret).now())
    codes = (await market.call(confirm, owner)).recovery_codes
    loot = Loot(owner, thief, f"thief-{secrets.token_hex(6)}@example.com", phone)
    for request in (each for name in names for each in ATTACKS[name](loot)):
        await market.ask(request, owner)
    # The owner signs in as ever, needs the second factor as ever, and has the account as it was.
    without = await market.ask(auth.LoginRequest(login=owner.email, password=PASSWORD))
    assert without.reason == "TOTP_REQUIRED", without
    login = auth.LoginRequest(login=owner.email, password=PASSWORD, recovery_code=codes[0])
    user = (await market.call(login)).user
    assert (user.user_id, user.email, user.phone) == (owner.user_id, owner.email, phone)
    assert (user.email_verified, user.phone_verified, user.totp_enabled) == (True, True, True)
    assert list(user.roles) == [policy_pb2.ROLE_BUYER]
    # Letters come to the owner, and none went to the thief.
    await market.call(auth.RequestPasswordResetRequest(email=owner.email))
    assert await market.written_to(owner, "password_reset", "token")
    to_thief = "SELECT count(*) FROM jobs WHERE payload->>'to' = $1 AND NOT (payload->>'to_nobody')::boolean"
    assert await market.value(to_thief, loot.email) == 0
    # The thief's own account is nothing more than it was.
    thieves = (await market.call(users.GetUserRequest(user_id="me"), thief)).user
    assert list(thieves.roles) == [policy_pb2.ROLE_BUYER]
