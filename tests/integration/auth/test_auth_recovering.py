"""Passwords anew on real Postgres: the way back by e-mail, changing one's own, and what ends with the old password."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pyotp
import pytest
from marketd.auth import sweeps
from marketd.auth.accounts import block, find
from marketd.auth.codes import recover, throttle
from marketd.auth.codes.credentials import hash_token
from marketd.auth.codes.model import VerificationChannel
from marketd.auth.codes.pace import Pace
from marketd.auth.codes.recover import ChangePassword
from marketd.auth.codes.repository import password_resets
from marketd.auth.errors import (
    AccountBlocked,
    InvalidCredentials,
    LetterTokenInvalid,
    PasswordTooCommon,
    PasswordUnchanged,
    SessionRevoked,
    TooManyFailures,
    TotpRequired,
)
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound, Overloaded
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id
from marketplace.auth.v1 import auth_service_pb2

from tests.canaries import MARK, WATCH
from tests.worlds.jobs import run_due
from tests.worlds.sent import Sent

if TYPE_CHECKING:
    from tests.worlds.auth import House


async def waits_for_a_lock(house: House) -> None:
    """Return once some transaction of this database waits for another's; the database tells nobody by itself."""
    async with asyncio.timeout(10):
        while not await house.tx.read(  # noqa: ASYNC110 - see above
            lambda unit: unit.connection.fetchval(
                "SELECT EXISTS (SELECT 1 FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock')"
            )
        ):
            await asyncio.sleep(0.01)


STRANGER = Caller(None, None, frozenset(), "192.0.2.7")
PASSWORD = f"correct horse battery {MARK}"
FRESH = f"another horse battery {MARK}"


async def _token(house: House, email: str) -> str:
    await house.recovering.request(email, STRANGER.address)
    await house.deliver()
    return house.mailbox.last("password_reset")["token"]


async def rows(house: House) -> dict[str, int]:
    """How many rows each table has."""

    async def count(unit: ReadUnit) -> dict[str, int]:
        names = await unit.connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {name[0]: await unit.connection.fetchval(f'SELECT count(*) FROM "{name[0]}"') for name in names}

    return await house.tx.read(count)


async def test_the_token_of_the_mail_sets_the_password_and_ends_every_session(house: House) -> None:
    done = await house.register("jo")
    other = await house.login("jo")
    token = await _token(house, "JO@shop.example")
    await house.reset(STRANGER, token, FRESH)
    for tokens in (done.tokens, other.tokens):
        with pytest.raises(SessionRevoked):
            await house.principals.authenticate(tokens.access.text)
        with pytest.raises(SessionRevoked):
            await house.signing_in.refresh(tokens.grant.refresh.text)
    with pytest.raises(InvalidCredentials):
        await house.login("jo")
    await house.login("jo", FRESH)
    await house.deliver()
    assert house.mailbox.templates() == ["password_reset", "password_changed"]
    assert house.mailbox.last("password_changed")["address"] == "192.0.2.7"


async def test_a_new_password_does_not_go_around_the_second_factor(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    secret = (await house.enroll(caller)).secret
    await house.factor.confirm(caller, WATCH.code(pyotp.TOTP(secret).at(house.clock.now())))
    await house.reset(STRANGER, await _token(house, "jo@shop.example"), FRESH)
    with pytest.raises(TotpRequired):
        await house.login("jo", FRESH)
    house.clock.advance(timedelta(seconds=60))
    code = WATCH.code(pyotp.TOTP(secret).at(house.clock.now()))
    assert (await house.login("jo", FRESH, code=code)).account.totp_enabled


async def test_a_reset_token_is_good_once_also_for_two_at_once(house: House) -> None:
    await house.register("jo")
    token = await _token(house, "jo@shop.example")
    outcomes = await asyncio.gather(
        *(house.reset(STRANGER, token, f"{FRESH} {turn}") for turn in range(5)), return_exceptions=True
    )
    assert sum(outcome is None for outcome in outcomes) == 1
    assert sum(isinstance(outcome, LetterTokenInvalid) for outcome in outcomes) == 4


async def test_a_reset_token_lasts_half_an_hour(house: House) -> None:
    await house.register("jo")
    token = await _token(house, "jo@shop.example")
    house.clock.advance(timedelta(minutes=30))
    with pytest.raises(LetterTokenInvalid):
        await house.reset(STRANGER, token, FRESH)


async def test_a_stranger_who_keeps_asking_does_not_make_the_owners_token_worthless(house: House) -> None:
    await house.register("jo")
    owners = await _token(house, "jo@shop.example")
    for _ in range(10):
        house.clock.advance(timedelta(minutes=1))
        await house.recovering.request("jo@shop.example", STRANGER.address)
        await house.deliver()
    letters = [values["token"] for name, _, values in house.mailbox.sent if name == "password_reset"]
    assert len(set(letters)) == recover.MAX_OUT
    await house.reset(STRANGER, owners, FRESH)
    for token in letters:
        with pytest.raises(LetterTokenInvalid):
            await house.reset(STRANGER, token, FRESH)


async def test_no_token_goes_to_an_address_that_the_account_is_just_leaving(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    changed, go_on = asyncio.Event(), asyncio.Event()

    async def slow(uow: UnitOfWork) -> None:
        account = await find.lock_account(uow, caller.known_user_id)
        await house.changing.make(uow, caller, account, VerificationChannel.EMAIL, "new@shop.example")
        changed.set()
        await go_on.wait()

    changing = asyncio.create_task(house.tx.run("test.change", slow))
    await changed.wait()
    await house.recovering.request("jo@shop.example", STRANGER.address)
    delivering = asyncio.create_task(house.deliver())
    await waits_for_a_lock(house)
    go_on.set()
    await changing
    await delivering
    assert "password_reset" not in house.mailbox.templates()


async def test_a_password_is_not_changed_for_somebody_who_was_blocked_meanwhile(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await house.tx.run("test.block", lambda uow: block.block_account(uow, caller.known_user_id))
    with pytest.raises(AccountBlocked):
        await house.change_password(caller, ChangePassword(PASSWORD, FRESH))


@pytest.mark.parametrize("token", ["", "guess", "é" * 40, "A" * 43])
async def test_an_invented_token_is_refused_without_a_hash(house: House, token: str) -> None:
    await house.register("jo")
    before = house.passwords.hashes
    with pytest.raises(LetterTokenInvalid):
        await house.reset(STRANGER, token, FRESH)
    assert house.passwords.hashes == before


async def test_asking_does_the_same_work_whether_anybody_has_the_address_and_the_job_tells_nobody(house: House) -> None:
    await house.register("jo")
    written = []
    for address in ("jo@shop.example", "nobody@shop.example"):
        hashes = house.passwords.hashes
        await house.recovering.request(address, STRANGER.address)
        rows = await house.tx.read(lambda unit: unit.connection.fetch("SELECT kind, attempts, max_attempts FROM jobs"))
        written.append([tuple(row.values()) for row in rows])
        assert house.passwords.hashes == hashes
        await house.deliver()
    assert written[0] == written[1] == [("auth.password_reset", 0, 5)]
    assert house.mailbox.templates() == ["password_reset"]


async def test_what_follows_costs_the_same_whether_anybody_has_the_address_or_not(house: House) -> None:
    user_ids = [(await house.register(name)).account.user_id for name in ("known", "blocked")]
    await house.tx.run("test.block", lambda uow: block.block_account(uow, user_ids[1]))
    sent = Sent(house.tx)
    addresses = ("nobody@shop.example", "known@shop.example", "blocked@shop.example")
    asked, followed, left = [], [], []
    for address in addresses:
        before = await rows(house)
        # Twice within a minute: the second finds that a token has just gone out.
        for _ in range(2):
            asked.append(await sent.during(house.recovering.request(address, STRANGER.address)))
            followed.append(await sent.during(house.deliver()))
        left.append({table: count - before[table] for table, count in (await rows(house)).items()})
    assert asked == [asked[0]] * 6
    assert followed == followed[:2] * 3
    assert len(followed[0]) > len(followed[1]) > 5
    assert left == [{**dict.fromkeys(left[0], 0), "password_resets": 1, "audit_entries": 1}] * 3
    # The letter as well: written for everybody, carried to one.
    assert (house.mailbox.templates(), house.mailbox.discarded) == (["password_reset"], 2)


async def test_the_token_of_an_address_that_nobody_has_opens_nothing(house: House) -> None:
    async def write(uow: UnitOfWork) -> None:
        end = uow.now + recover.LIFETIME
        await password_resets.insert(uow.connection, None, b"address", hash_token("guess"), uow.now, end)

    await house.tx.run("test.insert", write)
    with pytest.raises(LetterTokenInvalid):
        await house.reset(STRANGER, "guess", FRESH)


async def test_asking_for_addresses_that_nobody_has_fills_no_table_without_bound(house: House) -> None:
    for _ in range(recover.MAX_OUT + 3):
        await house.recovering.request("nobody@shop.example", STRANGER.address)
        await house.deliver()
        house.clock.advance(timedelta(minutes=2))
    assert (await rows(house))["password_resets"] == recover.MAX_OUT
    house.clock.advance(recover.LIFETIME)
    assert await house.tx.run("test.sweep", sweeps.sweep) == recover.MAX_OUT
    await house.register("jo")
    house.recovering._pace = Pace(1e-6, 2)
    for number in range(2):
        await house.recovering.request(f"nobody-{number}@shop.example", f"192.0.{number}.7")
    for address in ("nobody-3@shop.example", "jo@shop.example"):
        with pytest.raises(Overloaded):
            await house.recovering.request(address, "2001:db8::7")


@pytest.mark.parametrize("wide", ["192.0.2.{}", "2001:db8:7:{:x}::1"])
async def test_who_asks_from_every_address_of_a_network_keeps_only_that_from_asking(house: House, wide: str) -> None:
    async def ask(email: str, address: str) -> None:
        calls.enter(Call(caller=Caller(None, None, frozenset(), address)))
        request = auth_service_pb2.RequestPasswordResetRequest(email=email)
        await house.servicer.RequestPasswordReset(request, cast("Any", None))

    await house.register("jo")
    house.recovering._pace = Pace(1e-6, 20)
    ended = Counter[str]()
    for host in range(1, 200):
        try:
            await ask(f"nobody-{host}@shop.example", wide.format(host))
        except Overloaded:
            ended["OVERLOADED"] += 1
        else:
            ended["OK"] += 1
    assert ended == {"OK": 2, "OVERLOADED": 197}
    await ask("jo@shop.example", "198.51.100.7")
    await house.deliver()
    assert house.mailbox.templates() == ["password_reset"]


async def test_nobodys_mailbox_is_filled_by_asking_again_and_again(house: House) -> None:
    await house.register("jo")
    for _ in range(20):
        await house.recovering.request("jo@shop.example", STRANGER.address)
    waiting = await house.tx.read(lambda unit: unit.connection.fetchval("SELECT count(*) FROM jobs"))
    assert waiting == 1
    for _ in range(5):
        await house.recovering.request("jo@shop.example", STRANGER.address)
        await house.deliver()
    assert house.mailbox.templates() == ["password_reset"]
    house.clock.advance(timedelta(minutes=1))
    await _token(house, "jo@shop.example")
    assert house.mailbox.templates() == ["password_reset"] * 2


async def test_a_blocked_account_gets_no_token_and_cannot_use_one_it_got(house: House) -> None:
    user_id = (await house.register("jo")).account.user_id
    token = await _token(house, "jo@shop.example")
    await house.tx.run("test.block", lambda uow: block.block_account(uow, user_id))
    with pytest.raises(LetterTokenInvalid):
        await house.reset(STRANGER, token, FRESH)
    house.clock.advance(timedelta(minutes=2))
    await house.recovering.request("jo@shop.example", STRANGER.address)
    await house.deliver()
    assert house.mailbox.templates() == ["password_reset"]


async def test_a_common_password_leaves_the_token_good(house: House) -> None:
    await house.register("jo")
    token = await _token(house, "jo@shop.example")
    with pytest.raises(PasswordTooCommon) as refused:
        await house.reset(STRANGER, token, "password123")
    assert refused.value.fields[0].field == "new_password"
    await house.reset(STRANGER, token, FRESH)


async def test_a_reset_opens_every_door_that_guesses_had_shut(house: House) -> None:
    """The one that the owner is known at, those of strangers by each name, and that of who has signed in."""
    caller = await house.caller(await house.register("jo"))
    await house.verified_phone(caller, "+4930123456")
    names, away = ("jo", "jo@shop.example", "+4930123456"), Caller(None, None, frozenset(), "198.51.100.9")
    doors = [partial(house.login, "jo")] + [partial(house.login, name, device="tv", caller=away) for name in names]
    for door in doors:
        for _ in range(throttle.FREE):
            with pytest.raises(InvalidCredentials):
                await door("wrong horse battery")
        with pytest.raises(TooManyFailures):
            await door(PASSWORD)
    for _ in range(throttle.FREE):
        with pytest.raises(InvalidCredentials):
            await house.change_password(caller, ChangePassword(f"wrong horse battery {MARK}", FRESH))
    await house.reset(STRANGER, await _token(house, "jo@shop.example"), FRESH)
    for door in doors:
        signed_in = await door(FRESH)
    await house.change_password(await house.caller(signed_in), ChangePassword(FRESH, PASSWORD))


async def test_changing_the_password_ends_the_other_sessions_and_keeps_this_one(house: House) -> None:
    done = await house.register("jo")
    other = await house.login("jo")
    caller = await house.caller(done)
    token = await _token(house, "jo@shop.example")
    await house.change_password(caller, ChangePassword(PASSWORD, FRESH))
    assert (await house.caller(done)).session_id == caller.session_id
    with pytest.raises(SessionRevoked):
        await house.principals.authenticate(other.tokens.access.text)
    with pytest.raises(LetterTokenInvalid):
        await house.reset(STRANGER, token, f"a third horse battery {MARK}")
    await house.login("jo", FRESH)
    await house.deliver()
    assert house.mailbox.templates()[-1] == "password_changed"


async def test_a_stolen_session_does_not_guess_the_password(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    before = house.passwords.hashes
    for _ in range(throttle.FREE):
        with pytest.raises(InvalidCredentials):
            await house.change_password(caller, ChangePassword(f"wrong horse battery {MARK}", FRESH))
    for _ in range(50):
        with pytest.raises(TooManyFailures):
            await house.change_password(caller, ChangePassword(PASSWORD, FRESH))
    assert house.passwords.hashes - before == throttle.FREE
    await house.login("jo")


async def test_the_present_password_is_no_new_one(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    for _ in range(15):  # oftener than somebody may guess
        with pytest.raises(PasswordUnchanged):
            await house.change_password(caller, ChangePassword(PASSWORD, PASSWORD))
    await house.deliver()
    assert "password_changed" not in house.mailbox.templates()
    await house.change_password(caller, ChangePassword(PASSWORD, FRESH))


async def test_a_service_has_no_password_to_change(house: House) -> None:
    before = house.passwords.hashes
    with pytest.raises(NotFound):
        await house.change_password(
            Caller(new_id(), new_id(), frozenset({Role.SERVICE})), ChangePassword(PASSWORD, FRESH)
        )
    assert house.passwords.hashes == before


async def test_no_reset_token_or_password_lies_readable_in_any_table_while_its_letter_waits(house: House) -> None:
    await house.register("jo")
    await house.recovering.request("jo@shop.example", STRANGER.address)
    await run_due(house.jobs)

    async def dump(unit: ReadUnit) -> str:
        names = await unit.connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [row for name in names for row in await unit.connection.fetch(f'SELECT t::text FROM "{name[0]}" t')]
        return "\n".join(row[0] for row in rows)

    waiting = await house.tx.read(dump)
    assert '"password_reset"' in waiting
    await house.deliver()
    token = house.mailbox.last("password_reset")["token"]
    for secret in (token, PASSWORD):
        assert secret not in waiting
        assert secret.encode().hex() not in waiting
