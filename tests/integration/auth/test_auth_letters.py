"""What people are told of their accounts, on real Postgres: written with the commit, to whom it concerns, once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pyotp
import pytest
from marketd.auth.accounts import block, update
from marketd.auth.accounts.update import UserChange
from marketd.auth.codes.model import VerificationChannel as Channel
from marketd.auth.codes.values import FactorProof
from marketd.auth.errors import CodeWrong, InvalidCredentials
from marketd.auth.sessions.sign_in import LogIn
from marketd.kernel.call.caller import Caller, Role

from tests.canaries import MARK, WATCH

if TYPE_CHECKING:
    from tests.worlds.auth import House

PASSWORD = f"correct horse battery {MARK}"


async def _verified(house: House, name: str) -> Caller:
    caller = await house.caller(await house.register(name))
    await house.send_code(caller, Channel.EMAIL)
    await house.deliver()
    await house.verify(caller, Channel.EMAIL, house.mailbox.last("verification_code")["code"])
    house.mailbox.sent.clear()
    return caller


async def _login(house: House, name: str, device: str, address: str, password: str = PASSWORD) -> None:
    stranger = Caller(None, None, frozenset(), address)
    await house.signing_in.login(stranger, LogIn(name, device, password))


async def test_a_sign_in_from_a_new_device_or_address_is_told_once(house: House) -> None:
    await _verified(house, "jo")
    for device, address in (
        ("phone", "192.0.2.7"),  # as registered
        ("tablet", "192.0.2.7"),
        ("phone", "198.51.100.9"),
        ("tablet", "192.0.2.7"),
        ("phone", "198.51.100.9"),
    ):
        await _login(house, "jo", device, address)
    await house.deliver()
    told = [(to, values["device"], values["address"], values["name"]) for _, to, values in house.mailbox.sent]
    assert house.mailbox.templates() == ["new_sign_in"] * 2
    assert told == [
        ("jo@shop.example", "tablet", "192.0.2.7", "Jo Doe"),
        ("jo@shop.example", "phone", "198.51.100.9", "Jo Doe"),
    ]


async def test_an_address_that_nobody_verified_gets_no_letters_about_sign_ins(house: House) -> None:
    await house.register("stranger")
    await _login(house, "stranger", "tablet", "198.51.100.9")
    await house.deliver()
    assert house.mailbox.sent == []


async def test_a_sign_in_that_failed_is_not_told(house: House) -> None:
    await _verified(house, "jo")
    with pytest.raises(InvalidCredentials):
        await _login(house, "jo", "tablet", "198.51.100.9", f"wrong horse battery {MARK}")
    await house.deliver()
    assert house.mailbox.sent == []


async def test_a_second_factor_is_told_when_it_is_confirmed_and_when_it_goes(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    secret = (await house.enroll(caller)).secret
    with pytest.raises(CodeWrong):
        await house.factor.confirm(caller, "000000x")
    await house.deliver()
    assert house.mailbox.sent == []

    def code() -> str:
        return WATCH.code(pyotp.TOTP(secret).at(house.clock.now()))

    await house.factor.confirm(caller, code())
    house.clock.advance(timedelta(seconds=60))
    await house.disable_totp(caller, FactorProof(totp_code=code()))
    await house.deliver()
    assert house.mailbox.templates() == ["totp_enabled", "totp_disabled"]


async def test_the_former_address_is_told_of_a_new_one_and_learns_it_only_in_part(house: House) -> None:
    caller = await house.caller(await house.register("jo"))

    asked = UserChange(caller.known_user_id, frozenset({"full_name"}), "", "", "", "Jo D. Doe")
    await house.tx.run("test.update", lambda uow: update.update_user(uow, caller, asked))
    await house.deliver()
    assert house.mailbox.sent == []
    await house.move(caller, "secret.other@mail.example")
    await house.deliver()
    (code, (template, to, values)) = house.mailbox.sent
    assert code[:2] == ("verification_code", "secret.other@mail.example")
    assert (template, to, values["email"]) == ("email_changed", "jo@shop.example", "s…@mail.example")
    assert (values["hours"], len(values["token"])) == ("72", 43)


async def test_a_block_is_told_once_without_the_admins_reason(house: House) -> None:
    admin = Caller(UUID(int=1), None, frozenset({Role.ADMIN}), "192.0.2.7")
    user_id = (await house.register("jo")).account.user_id
    for _ in range(2):
        await house.tx.run(
            "test.block",
            lambda uow: block.block_user(uow, admin, block.Barring(user_id, "fraud, case 17"), house.letters),
        )
    await house.deliver()
    ((template, to, values),) = house.mailbox.sent
    assert (template, to) == ("account_blocked", "jo@shop.example")
    assert "fraud" not in str(values)
