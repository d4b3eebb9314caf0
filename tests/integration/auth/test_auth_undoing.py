"""Taking a change of the e-mail address back on real Postgres: the former address gets the account, and only it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pyotp
import pytest
from marketd.auth import service, sweeps
from marketd.auth.accounts import block
from marketd.auth.codes.change import UNDO_LIFETIME
from marketd.auth.codes.model import VerificationChannel as Channel
from marketd.auth.codes.values import Proof
from marketd.auth.errors import CodeWrong, InvalidCredentials, LetterTokenInvalid, SessionRevoked
from marketd.auth.sessions.sign_in import SignedIn
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import UnitOfWork

from tests.canaries import MARK, WATCH

if TYPE_CHECKING:
    from tests.worlds.auth import House

FRESH = f"a fresh horse battery {MARK}"
HOME, THIEF = "jo@shop.example", "thief@shop.example"


async def _moved(house: House, *addresses: str) -> tuple[SignedIn, Caller, list[str]]:
    """An account that was registered as HOME and moved on: its sign-in, its caller, the token of each letter."""
    done = await house.register("jo")
    caller = await house.caller(done)
    await house.send_code(caller, Channel.EMAIL)
    await house.verify(caller, Channel.EMAIL, await house.code_sent())
    return done, caller, [await _move(house, caller, address) for address in addresses]


async def _move(house: House, caller: Caller, address: str) -> str:
    house.clock.advance(timedelta(seconds=1))
    await house.move(caller, address)
    await house.deliver()
    return house.mailbox.last("email_changed").get("token", "")


async def _emails(house: House) -> list[tuple[str, bool]]:
    rows = await house.tx.read(lambda unit: unit.connection.fetch("SELECT email, email_verified FROM accounts"))
    return [tuple(row) for row in rows]


async def test_the_owner_gets_the_account_back_and_the_thief_is_out(house: House) -> None:
    done, caller, (token,) = await _moved(house, THIEF)
    stolen = await house.login(THIEF)
    await house.change_email(caller, "next@shop.example")
    waiting = await house.code_sent()
    await house.recovering.request(THIEF, caller.address)
    await house.deliver()
    of_the_thief = house.mailbox.last("password_reset")["token"]
    house.mailbox.sent.clear()
    await house.undo(token)
    await house.deliver()
    assert await _emails(house) == [(HOME, True)]
    assert [(name, to) for name, to, _ in house.mailbox.sent] == [
        ("email_changed", THIEF),
        ("password_reset", HOME),
    ]
    assert "token" not in house.mailbox.sent[0][2]
    assert all(values["undone"] for _, _, values in house.mailbox.sent)
    for session in (done, stolen):
        with pytest.raises(SessionRevoked):
            await house.principals.authenticate(session.tokens.access.text)
        with pytest.raises(SessionRevoked):
            await house.signing_in.refresh(session.tokens.grant.refresh.text)
    for login in (HOME, THIEF, "jo"):
        with pytest.raises(InvalidCredentials):
            await house.login(login)
    with pytest.raises(CodeWrong):
        await house.verify(caller, Channel.EMAIL, waiting)
    with pytest.raises(LetterTokenInvalid):
        await house.reset(caller, of_the_thief, FRESH)
    await house.reset(caller, house.mailbox.last("password_reset")["token"], FRESH)
    assert (await house.login(HOME, FRESH)).account.user_id == caller.user_id


async def test_a_token_is_good_once_for_72_hours_and_refused_alike_else(house: House) -> None:
    _, caller, (token,) = await _moved(house, THIEF)
    told = []
    for bad in ("", "guess", "A" * 43, f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}"):
        with pytest.raises(LetterTokenInvalid) as refused:
            await house.undo(bad)
        told.append(refused.value.message)
    await house.undo(token)
    with pytest.raises(LetterTokenInvalid) as refused:
        await house.undo(token)
    told.append(refused.value.message)
    await house.deliver()
    await house.reset(caller, house.mailbox.last("password_reset")["token"], FRESH)
    late = await _late(house)
    house.clock.advance(UNDO_LIFETIME)
    with pytest.raises(LetterTokenInvalid) as refused:
        await house.undo(late)
    assert set(told) == {refused.value.message}
    house.clock.advance(timedelta(seconds=1))
    assert await house.tx.run("test.sweep", sweeps.sweep) >= 1
    assert await house.tx.read(lambda unit: unit.connection.fetchval("SELECT count(*) FROM email_changes")) == 0


async def _late(house: House) -> str:
    caller = await house.caller(await house.login(HOME, FRESH))
    await house.move(caller, "other@shop.example", Proof(FRESH))
    await house.deliver()
    return house.mailbox.last("email_changed")["token"]


async def test_a_code_that_is_on_its_way_while_the_change_is_taken_back_is_void(house: House) -> None:
    _, caller, (token,) = await _moved(house, THIEF)
    await house.change_email(caller, "next@shop.example")
    code = await house.code_sent()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def late(uow: UnitOfWork) -> object:
        begun.set()
        await go_on.wait()
        return await house.verifying.verify(uow, caller, Channel.EMAIL, code)

    coming = asyncio.create_task(house.tx.run("test.late", late))
    await begun.wait()
    house.clock.advance(timedelta(seconds=1))
    await house.undo(token)
    go_on.set()
    assert isinstance(await coming, CodeWrong)
    assert await _emails(house) == [(HOME, True)]


async def test_of_many_at_once_one_takes_it_back(house: House) -> None:
    _, _, (token,) = await _moved(house, THIEF)
    outcomes = await asyncio.gather(*(house.undo(token) for _ in range(5)), return_exceptions=True)
    assert sorted(isinstance(outcome, LetterTokenInvalid) for outcome in outcomes) == [False, True, True, True, True]
    await house.deliver()
    assert house.mailbox.templates().count("password_reset") == 1


async def test_the_first_address_wins_over_every_later_one(house: House) -> None:
    _, _, tokens = await _moved(house, THIEF, "second@shop.example")
    await house.undo(tokens[0])
    assert await _emails(house) == [(HOME, True)]
    with pytest.raises(LetterTokenInvalid):
        await house.undo(tokens[1])


async def test_a_later_change_is_taken_back_alone(house: House) -> None:
    _, _, tokens = await _moved(house, "moved@shop.example", "second@shop.example")
    await house.undo(tokens[1])
    assert await _emails(house) == [("moved@shop.example", True)]
    await house.undo(tokens[0])
    assert await _emails(house) == [(HOME, True)]


async def test_who_goes_back_home_leaves_no_way_for_the_address_in_between(house: House) -> None:
    _, _, tokens = await _moved(house, THIEF, HOME)
    assert tokens[1] == ""
    assert "token" not in house.mailbox.last("email_changed")
    await house.undo(tokens[0])
    assert await _emails(house) == [(HOME, True)]


@pytest.mark.parametrize("before", [True, False])
async def test_a_second_factor_goes_when_it_is_younger_than_the_change(house: House, before: bool) -> None:
    caller = await house.caller(await house.register("jo"))

    async def set_up() -> None:
        secret = (await house.enroll(caller)).secret
        await house.factor.confirm(caller, WATCH.code(pyotp.TOTP(secret).at(house.clock.now())))

    if before:
        await set_up()
    token = await _move(house, caller, THIEF)
    if not before:
        house.clock.advance(timedelta(seconds=1))
        await set_up()
    await house.undo(token)
    left = await house.tx.read(
        lambda unit: unit.connection.fetchval(
            "SELECT ARRAY[(SELECT count(*) FROM totp_factors), (SELECT count(*) FROM recovery_codes)]"
        )
    )
    assert left == ([1, 10] if before else [0, 0])
    await house.deliver()
    assert house.mailbox.templates().count("totp_disabled") == (0 if before else 1)
    # Nobody had verified it, and an address is not verified by coming back.
    assert await _emails(house) == [(HOME, False)]


async def test_a_blocked_account_gets_its_address_and_stays_blocked(house: House) -> None:
    _, caller, (token,) = await _moved(house, THIEF)
    await house.tx.run("test.block", lambda uow: block.block_account(uow, caller.known_user_id))
    house.mailbox.sent.clear()
    await house.undo(token)
    await house.deliver()
    assert "password_reset" not in house.mailbox.templates()
    assert await _emails(house) == [(HOME, True)]


async def test_a_deleted_account_does_not_come_back(house: House) -> None:
    _, caller, (token,) = await _moved(house, THIEF)
    await house.delete_user(caller)
    with pytest.raises(LetterTokenInvalid):
        await house.undo(token)
    assert (await house.register("jo")).account.email == HOME


async def test_no_former_address_takes_an_admins_account(house: House) -> None:
    """Whoever had the operator's address first must not get the account back once it is an admin's."""
    _, caller, (token,) = await _moved(house, "admin@shop.example")
    password_hash = await house.passwords.hash(FRESH)
    made = await house.tx.run("test.admin", lambda uow: service.create_admin(uow, "admin@shop.example", password_hash))
    assert made.user_id == caller.user_id
    with pytest.raises(LetterTokenInvalid):
        await house.undo(token)


async def test_who_left_the_operators_address_does_not_keep_the_operator_out(house: House) -> None:
    squatter = await house.caller(await house.register("admin"))
    await house.move(squatter, THIEF)
    await house.deliver()
    token = house.mailbox.last("email_changed")["token"]
    password_hash = await house.passwords.hash(FRESH)
    made = await house.tx.run("test.admin", lambda uow: service.create_admin(uow, "Admin@shop.example", password_hash))
    assert made.created
    with pytest.raises(LetterTokenInvalid):
        await house.undo(token)
    assert (await house.login("admin@shop.example", FRESH)).account.user_id == made.user_id


async def test_only_the_hash_of_a_token_is_kept(house: House) -> None:
    _, _, (token,) = await _moved(house, THIEF)
    rows = await house.tx.read(
        lambda unit: unit.connection.fetch("SELECT e::text FROM email_changes e UNION ALL SELECT j::text FROM jobs j")
    )
    assert rows
    assert not [row for row in rows if token in row[0]]
