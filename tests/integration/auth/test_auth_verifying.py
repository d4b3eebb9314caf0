"""Verification codes on real Postgres: six digits, five tries, ten minutes, and nothing to read in the tables."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from marketd.auth.accounts import update
from marketd.auth.accounts.update import UserChange
from marketd.auth.accounts.values import Account
from marketd.auth.codes.change import Changing
from marketd.auth.codes.credentials import CodeHasher
from marketd.auth.codes.model import VerificationChannel as Channel
from marketd.auth.codes.send import CodeSender
from marketd.auth.codes.verify import Verifying
from marketd.auth.errors import CodeWrong, NothingCarriesSms, NothingToVerify, TooManyCodes
from marketd.auth.letters import Letters
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import IllegalTransition, NotFound
from marketd.kernel.call.seal import Seal
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id

from tests.worlds.auth import PROOF

if TYPE_CHECKING:
    from tests.worlds.auth import House


async def _sent(house: House, caller: Caller, channel: Channel = Channel.EMAIL) -> str:
    await house.send_code(caller, channel)
    await house.deliver()
    return house.mailbox.last("verification_code")["code"]


def _other(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


@pytest.mark.parametrize(("channel", "target"), [(Channel.EMAIL, "jo@shop.example"), (Channel.PHONE, "+491701234567")])
async def test_the_code_that_was_sent_verifies_its_channel_once(house: House, channel: Channel, target: str) -> None:
    caller = await house.caller(await house.register("jo", "+491701234567"))
    code = await _sent(house, caller, channel)
    assert len(code) == 6
    assert code.isdigit()
    assert [(name, to) for name, to, _ in house.mailbox.sent] == [("verification_code", target)]
    assert house.mailbox.last("verification_code")["minutes"] == "10"
    account = await house.verify(caller, channel, code)
    assert (account.email_verified, account.phone_verified) == (channel is Channel.EMAIL, channel is Channel.PHONE)
    with pytest.raises(CodeWrong):
        await house.verify(caller, channel, code)
    with pytest.raises(IllegalTransition):
        await house.send_code(caller, channel)


async def test_five_tries_at_once_or_one_by_one_and_then_the_right_code_is_too_late(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    code = await _sent(house, caller)
    wrong = await asyncio.gather(
        *(house.verify(caller, Channel.EMAIL, _other(code)) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(outcome, CodeWrong) for outcome in wrong)
    with pytest.raises(CodeWrong):
        await house.verify(caller, Channel.EMAIL, code)


async def test_the_fifth_try_may_be_the_right_one(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    code = await _sent(house, caller)
    for _ in range(4):
        with pytest.raises(CodeWrong):
            await house.verify(caller, Channel.EMAIL, _other(code))
    assert isinstance(await house.verify(caller, Channel.EMAIL, code), Account)


async def test_a_code_is_good_for_ten_minutes_and_a_new_one_takes_its_place(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    first = await _sent(house, caller)
    second = await _sent(house, caller)
    if first != second:
        with pytest.raises(CodeWrong):
            await house.verify(caller, Channel.EMAIL, first)
    house.clock.advance(timedelta(minutes=10))
    with pytest.raises(CodeWrong):
        await house.verify(caller, Channel.EMAIL, second)


async def test_a_code_that_went_to_a_former_address_proves_nothing_of_the_new_one(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    code = await _sent(house, caller)

    async def change(uow: UnitOfWork) -> None:
        await uow.connection.execute("UPDATE accounts SET email = 'new@shop.example'")

    await house.tx.run("test.change", change)
    with pytest.raises(CodeWrong):
        await house.verify(caller, Channel.EMAIL, code)


async def test_five_codes_an_hour_and_no_more(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    for _ in range(5):
        await house.send_code(caller, Channel.EMAIL)
        house.clock.advance(timedelta(minutes=10))
    with pytest.raises(TooManyCodes) as refused:
        await house.send_code(caller, Channel.EMAIL)
    assert refused.value.retry_after_seconds == 600
    house.clock.advance(timedelta(seconds=600))
    await house.send_code(caller, Channel.EMAIL)


async def test_changing_a_phone_to_and_fro_sends_no_more_codes(house: House) -> None:
    caller = await house.caller(await house.register("jo", "+4930123456"))

    async def move(phone: str) -> None:
        change = UserChange(caller.known_user_id, frozenset({"phone"}), "", "", phone, "")
        await house.tx.run("test.update", lambda uow: update.update_user(uow, caller, change))

    code = await _sent(house, caller, Channel.PHONE)
    sent = 1
    for turn in range(6):
        await move(f"+493099999{turn}")
        with contextlib.suppress(TooManyCodes):
            await house.send_code(caller, Channel.PHONE)
            sent += 1
    assert sent == 5
    await move("+4930123456")
    with pytest.raises(CodeWrong):
        await house.verify(caller, Channel.PHONE, code)


async def test_where_nothing_carries_sms_nobody_waits_for_one(house: House) -> None:
    caller = await house.caller(await house.register("jo", phone="+491701234567"))
    hasher, letters = CodeHasher(house.secret("codes")), Letters(Seal(house.secret("letters")), sends_sms=False)
    sender = CodeSender(hasher, letters)
    changing = Changing(house.tx, house.proving, sender, letters)
    verifying = Verifying(hasher, sender, changing, letters)
    with pytest.raises(NothingCarriesSms, match="phone"):
        await changing.prepare_phone(caller, "+491709999999", PROOF)
    with pytest.raises(NothingCarriesSms, match="channel"):
        await house.tx.run("test.send", lambda uow: verifying.send(uow, caller, Channel.PHONE))
    await house.tx.run("test.send", lambda uow: verifying.send(uow, caller, Channel.EMAIL))
    await house.deliver()
    assert [(name, to) for name, to, _ in house.mailbox.sent] == [("verification_code", "jo@shop.example")]


async def test_a_code_of_one_account_is_none_of_anothers(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    other = await house.caller(await house.register("al"))
    code = await _sent(house, caller)
    with pytest.raises(CodeWrong):
        await house.verify(other, Channel.EMAIL, code)


async def test_there_is_nothing_to_send_without_a_phone_and_nobody_to_send_to_for_a_service(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    with pytest.raises(NothingToVerify):
        await house.send_code(caller, Channel.PHONE)
    with pytest.raises(NotFound):
        await house.send_code(Caller(new_id(), new_id(), frozenset({Role.SERVICE})), Channel.EMAIL)


async def test_no_code_lies_readable_in_any_table_while_its_letter_waits(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await house.send_code(caller, Channel.EMAIL)

    async def waiting(unit: ReadUnit) -> list[str]:
        # Not the ids and instants, which are full of digits.
        return [
            await unit.connection.fetchval("SELECT payload ->> 'values' FROM jobs"),
            await unit.connection.fetchval("SELECT target || ' ' || encode(code_hash, 'hex') FROM verifications"),
        ]

    stored = await house.tx.read(waiting)
    await house.deliver()
    code = house.mailbox.last("verification_code")["code"]
    assert '"sealed:' in stored[0]
    assert not any(code in text for text in stored)
