"""Repeats under one request id where the first run has changed what the second is judged by, on real Postgres."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, cast

import pyotp
import pytest
from marketd.auth.codes.model import VerificationChannel
from marketd.auth.errors import CodeWrong, InvalidCredentials, TotpRequired
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import Refusal, RequestIdReused
from marketd.kernel.values.ids import new_id
from marketplace.auth.v1 import auth_service_pb2 as pb

from tests.canaries import MARK, WATCH
from tests.worlds.auth import PASSWORD, STRANGER

if TYPE_CHECKING:
    from tests.worlds.auth import House

CONTEXT = cast("Any", None)
FRESH = f"a fresh horse battery {MARK}"
OTHER = f"another horse battery {MARK}"
ADMIN = Caller(new_id(), new_id(), frozenset({Role.ADMIN}), "192.0.2.8")


class Asker:
    """Calls one method, under one request id, as transport does."""

    def __init__(self, house: House, caller: Caller) -> None:
        self._house, self._caller, self._request_id = house, caller, str(new_id())
        self.replayed: list[bool] = []

    async def ask(self, request: Any) -> Any:
        """The answer as a client reads it."""
        name = type(request).__name__.removesuffix("Request")

        async def served() -> bytes:
            fingerprint = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
            once = OnceKey(self._caller.key, name, self._request_id, fingerprint)
            call = Call(caller=self._caller, once=once)
            calls.enter(call)
            answer = await getattr(self._house.servicer, name)(request, CONTEXT)
            self.replayed.append(call.replayed)
            return answer if isinstance(answer, bytes) else answer.SerializeToString()

        return getattr(pb, f"{name}Response").FromString(await asyncio.create_task(served()))


async def _thrice(asker: Asker, request: Any) -> Any:
    first = await asker.ask(request)
    assert [await asker.ask(request), await asker.ask(request)] == [first, first]
    assert asker.replayed == [False, True, True]
    return first


async def test_a_password_is_changed_once_and_the_repeats_are_no_guesses(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    hashes = house.passwords.hashes
    asker = Asker(house, caller)
    await _thrice(asker, pb.ChangePasswordRequest(current_password=PASSWORD, new_password=FRESH))
    assert house.passwords.hashes - hashes == 2
    with pytest.raises(RequestIdReused):
        await asker.ask(pb.ChangePasswordRequest(current_password=FRESH, new_password=OTHER))
    with pytest.raises(InvalidCredentials):
        await Asker(house, caller).ask(pb.ChangePasswordRequest(current_password=PASSWORD, new_password=OTHER))
    await house.login("jo", FRESH)


async def test_a_reset_that_was_answered_to_nobody_is_told_again(house: House) -> None:
    await house.register("jo")
    await house.recovering.request("jo@shop.example", STRANGER.address)
    await house.deliver()
    token = house.mailbox.last("password_reset")["token"]
    await _thrice(Asker(house, STRANGER), pb.ResetPasswordRequest(token=token, new_password=FRESH))
    await house.login("jo", FRESH)


async def test_a_channel_is_verified_once_and_a_wrong_code_counts_and_is_no_answer(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await house.send_code(caller, VerificationChannel.EMAIL)
    await house.deliver()
    code = house.mailbox.last("verification_code")["code"]
    wrong = pb.VerifyRequest(channel=pb.VERIFICATION_CHANNEL_EMAIL, code=f"{(int(code) + 1) % 1_000_000:06d}")
    guessing = Asker(house, caller)
    for _ in range(2):
        with pytest.raises(CodeWrong):
            await guessing.ask(wrong)
    tries = "SELECT tries FROM verifications WHERE user_id = $1"
    assert await house.tx.read(lambda unit: unit.connection.fetchval(tries, caller.user_id)) == 2
    right = pb.VerifyRequest(channel=pb.VERIFICATION_CHANNEL_EMAIL, code=code)
    assert (await _thrice(Asker(house, caller), right)).user.email_verified


async def test_a_second_factor_goes_once(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    secret = (await house.enroll(caller)).secret
    codes = await house.factor.confirm(caller, WATCH.code(pyotp.TOTP(secret).at(house.clock.now())))
    with pytest.raises(TotpRequired):
        await Asker(house, caller).ask(pb.DisableTotpRequest(recovery_code="WRONG-CODES"))
    await _thrice(Asker(house, caller), pb.DisableTotpRequest(recovery_code=codes[0]))
    await house.login("jo")


async def test_a_services_secret_is_told_again_and_stands_in_no_stored_answer(house: House) -> None:
    made = await _thrice(Asker(house, ADMIN), pb.CreateServiceAccountRequest(name="router"))
    client_id, secret = made.service_account.client_id, made.client_secret
    await house.services.issue(STRANGER, client_id, secret)
    stored = await house.tx.read(lambda unit: unit.connection.fetchval("SELECT answer FROM idempotency_keys"))
    assert client_id.encode() in stored
    assert secret.encode() not in stored
    other = await Asker(house, ADMIN).ask(pb.CreateServiceAccountRequest(name="counter"))
    assert other.client_secret != secret
    with pytest.raises(Refusal):
        await house.services.issue(STRANGER, other.service_account.client_id, secret)
