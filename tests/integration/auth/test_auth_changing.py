"""Another e-mail address on real Postgres: a proof, a code to the new address, and nothing changes before both."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pyotp
import pytest
from marketd.auth.accounts.create import NewAccount, create_account
from marketd.auth.accounts.find import find_account
from marketd.auth.codes import throttle
from marketd.auth.codes.change import UNDO_LIFETIME
from marketd.auth.codes.model import VerificationChannel as Channel
from marketd.auth.codes.recover import ChangePassword
from marketd.auth.codes.send import SENDS, TO_ONE_TARGET
from marketd.auth.codes.values import FactorProof, Proof
from marketd.auth.errors import (
    CodeWrong,
    ContactUnchanged,
    InvalidCredentials,
    NoAddress,
    NoSecondFactor,
    TooManyCodes,
    TooManyFailures,
    TotpRequired,
)
from marketd.auth.sessions.sign_in import RegisterAccount
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id

from tests.canaries import MARK, WATCH
from tests.worlds.auth import PASSWORD, STRANGER

if TYPE_CHECKING:
    from tests.worlds.auth import House

WRONG = Proof(f"wrong horse battery {MARK}")
NEW = "new@shop.example"
FRESH = f"a fresh horse battery {MARK}"


async def _email(house: House, caller: Caller) -> tuple[str, bool]:
    account = await house.tx.read(lambda unit: find_account(unit.connection, caller.known_user_id))
    return account.email, account.email_verified


async def test_the_address_changes_with_the_code_and_not_before(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    end = await house.change_email(caller, "NEW@shop.example")
    assert end - house.clock.now() == timedelta(minutes=10)
    code = await house.code_sent()
    assert [(name, to) for name, to, _ in house.mailbox.sent] == [("verification_code", NEW)]
    assert await _email(house, caller) == ("jo@shop.example", False)
    account = await house.verify(caller, Channel.EMAIL, code)
    assert (account.email, account.email_verified) == (NEW, True)
    with pytest.raises(CodeWrong):
        await house.verify(caller, Channel.EMAIL, code)
    with pytest.raises(InvalidCredentials):
        await house.login("jo@shop.example")
    assert (await house.login(NEW)).account.user_id == caller.user_id


async def test_a_wrong_proof_changes_nothing_and_its_failures_are_counted(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    hashes = house.passwords.hashes
    for _ in range(throttle.FREE):
        with pytest.raises(InvalidCredentials):
            await house.change_email(caller, NEW, WRONG)
    with pytest.raises(TooManyFailures):
        await house.change_email(caller, NEW)
    assert house.passwords.hashes - hashes == throttle.FREE
    house.clock.advance(timedelta(minutes=1))
    await house.change_email(caller, NEW)
    await house.deliver()
    assert house.mailbox.templates() == ["verification_code"]
    await house.change_email(caller, NEW)  # a right one forgets the failures


async def test_a_second_factor_is_a_proof_and_each_of_its_codes_is_good_once(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    with pytest.raises(NoSecondFactor):
        await house.change_email(caller, NEW, Proof(factor=FactorProof(totp_code="123456")))
    secret = (await house.enroll(caller)).secret
    codes = await house.factor.confirm(caller, WATCH.code(pyotp.TOTP(secret).at(house.clock.now())))
    house.clock.advance(timedelta(seconds=60))
    right = Proof(factor=FactorProof(totp_code=WATCH.code(pyotp.TOTP(secret).at(house.clock.now()))))
    await house.change_email(caller, NEW, right)
    recovery = Proof(factor=FactorProof(recovery_code=codes[0]))
    await house.change_email(caller, NEW, recovery)
    for spent in (right, recovery):
        with pytest.raises(TotpRequired):
            await house.change_email(caller, NEW, spent)


async def test_a_taken_address_is_refused_when_it_is_asked_for_and_when_the_code_comes(house: House) -> None:
    await house.register("taken")
    caller = await house.caller(await house.register("jo"))
    for _ in range(throttle.FREE + 1):  # the proof was right: nothing is counted
        with pytest.raises(AlreadyExists) as refused:
            await house.change_email(caller, "Taken@shop.example")
    assert refused.value.metadata["field"] == "email"
    await house.change_email(caller, NEW)
    code = await house.code_sent()
    await house.register("new")
    with pytest.raises(AlreadyExists):
        await house.verify(caller, Channel.EMAIL, code)
    with pytest.raises(CodeWrong):  # it has told that the address is taken, and is spent
        await house.verify(caller, Channel.EMAIL, code)
    assert await _email(house, caller) == ("jo@shop.example", False)


async def test_a_new_password_ends_a_change_that_waits(house: House) -> None:
    """Somebody knew the former one and still has a token of the session in which it was changed."""
    caller = await house.caller(await house.register("jo"))
    await house.change_email(caller, NEW)
    code = await house.code_sent()
    await house.change_password(caller, ChangePassword(PASSWORD, FRESH))
    with pytest.raises(CodeWrong):
        await house.verify(caller, Channel.EMAIL, code)
    await house.change_email(caller, NEW, Proof(FRESH))
    code = await house.code_sent()
    await house.recovering.request("jo@shop.example", STRANGER.address)
    await house.deliver()
    await house.reset(STRANGER, house.mailbox.last("password_reset")["token"], PASSWORD)
    again = await house.caller(await house.login("jo"))
    with pytest.raises(CodeWrong):
        await house.verify(again, Channel.EMAIL, code)
    assert await _email(house, again) == ("jo@shop.example", False)


async def test_many_accounts_do_not_fill_one_strangers_mailbox(house: House) -> None:
    for number in range(3):
        caller = await house.caller(await house.register(f"eve{number}"))
        for _ in range(SENDS):
            if number * SENDS < TO_ONE_TARGET:
                await house.change_email(caller, NEW)
                continue
            with pytest.raises(TooManyCodes) as refused:
                await house.change_email(caller, NEW)
            assert refused.value.retry_after_seconds == 3600
    await house.deliver()
    assert len(house.mailbox.sent) == TO_ONE_TARGET
    await house.change_email(caller, "another@shop.example")
    house.clock.advance(timedelta(hours=1))
    await house.change_email(caller, NEW)


async def test_two_who_take_one_address_at_once_do_not_both_get_it(house: House) -> None:
    callers = [await house.caller(await house.register(name)) for name in ("jo", "al")]
    codes = []
    for caller in callers:
        await house.change_email(caller, NEW)
        codes.append(await house.code_sent())
    outcomes = await asyncio.gather(
        *(house.verify(caller, Channel.EMAIL, code) for caller, code in zip(callers, codes, strict=True)),
        return_exceptions=True,
    )
    assert sorted(isinstance(outcome, AlreadyExists) for outcome in outcomes) == [False, True]


async def test_what_is_no_new_address_is_refused_before_the_proof_is_counted(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    hashes = house.passwords.hashes
    for _ in range(throttle.FREE + 1):
        with pytest.raises(ContactUnchanged):
            await house.change_email(caller, "JO@shop.example", WRONG)
    with pytest.raises(NoAddress):
        await house.change_email(caller, "jö@shop.example", WRONG)
    with pytest.raises(NotFound):
        await house.change_email(Caller(new_id(), new_id(), frozenset({Role.SERVICE})), NEW)
    assert house.passwords.hashes == hashes


async def test_a_later_change_replaces_the_one_that_waits(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await house.change_email(caller, "first@shop.example")
    first = await house.code_sent()
    await house.change_email(caller, "second@shop.example")
    second = await house.code_sent()
    if first != second:
        with pytest.raises(CodeWrong):
            await house.verify(caller, Channel.EMAIL, first)
    assert (await house.verify(caller, Channel.EMAIL, second)).email == "second@shop.example"


async def test_verifying_the_present_address_and_a_change_that_waits_leave_each_other_alone(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await house.change_email(caller, NEW)
    changing = await house.code_sent()
    await house.send_code(caller, Channel.EMAIL)
    present = await house.code_sent()
    account = await house.verify(caller, Channel.EMAIL, present)
    assert (account.email, account.email_verified) == ("jo@shop.example", True)
    assert (await house.verify(caller, Channel.EMAIL, changing)).email == NEW


async def test_a_try_counts_for_both_codes_and_neither_is_guessed_by_way_of_the_other(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await house.send_code(caller, Channel.EMAIL)
    present = await house.code_sent()
    await house.change_email(caller, NEW)
    changing = await house.code_sent()
    wrong = next(f"{number:06d}" for number in range(3) if f"{number:06d}" not in (present, changing))
    for _ in range(5):
        with pytest.raises(CodeWrong):
            await house.verify(caller, Channel.EMAIL, wrong)
    for late in (present, changing):
        with pytest.raises(CodeWrong):
            await house.verify(caller, Channel.EMAIL, late)


async def test_five_changes_an_hour_are_asked_for_and_codes_for_the_present_address_go_on(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    for turn in range(5):
        await house.change_email(caller, f"victim{turn}@shop.example")
    with pytest.raises(TooManyCodes):
        await house.change_email(caller, "victim5@shop.example")
    await house.send_code(caller, Channel.EMAIL)


async def test_a_code_for_a_change_is_good_for_ten_minutes(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await house.change_email(caller, NEW)
    code = await house.code_sent()
    house.clock.advance(timedelta(minutes=10))
    with pytest.raises(CodeWrong):
        await house.verify(caller, Channel.EMAIL, code)


async def test_nobody_takes_the_former_address_while_the_change_can_be_undone(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    other = await house.caller(await house.register("al"))
    squatter = RegisterAccount("Jo@shop.example", "", "", "Jo", "phone", PASSWORD)
    await house.move(caller, NEW)
    with pytest.raises(AlreadyExists) as refused:
        await house.signing_in.register(STRANGER, squatter)
    assert refused.value.metadata["field"] == "email"
    with pytest.raises(AlreadyExists):
        await house.change_email(other, "jo@shop.example")
    # Its own account may have it back.
    assert (await house.move(caller, "jo@shop.example")).email == "jo@shop.example"
    await house.move(caller, NEW)
    house.clock.advance(UNDO_LIFETIME)
    assert (await house.signing_in.register(STRANGER, squatter)).account.user_id != caller.user_id


async def test_who_registers_while_the_address_is_given_up_comes_too_late(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await house.change_email(caller, NEW)
    code = await house.code_sent()
    moved, go_on = asyncio.Event(), asyncio.Event()

    async def slow(uow: UnitOfWork) -> None:
        await house.verifying.verify(uow, caller, Channel.EMAIL, code)
        moved.set()
        await go_on.wait()

    async def register(uow: UnitOfWork) -> None:
        await create_account(uow, NewAccount("jo@shop.example", "", "", "", "x"), frozenset())

    leaving = asyncio.create_task(house.tx.run("test.leave", slow))
    await moved.wait()
    coming = asyncio.create_task(house.tx.run("test.come", register))
    await asyncio.sleep(0.05)
    go_on.set()
    await leaving
    with pytest.raises(AlreadyExists):
        await coming


async def test_the_log_says_what_the_address_was_and_is(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await house.move(caller, NEW)
    changes = await house.tx.read(
        lambda unit: unit.connection.fetch("SELECT changes::text AS text FROM audit_entries WHERE changes IS NOT NULL")
    )
    assert [row for row in changes if "jo@shop.example" in row["text"] and NEW in row["text"]]
    assert PASSWORD not in str(changes)
