"""Brute force on real Postgres (T18): few hashes however many guesses, over all workers, and no oracle in answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from marketd.auth import sweeps
from marketd.auth.accounts.passwords import Passwords
from marketd.auth.codes import throttle
from marketd.auth.codes.credentials import CodeHasher
from marketd.auth.codes.throttle import Throttle
from marketd.auth.errors import InvalidCredentials, TooManyFailures
from marketd.kernel.call.refusals import Overloaded, Refusal

from tests.canaries import MARK
from tests.worlds.auth import PASSWORD

if TYPE_CHECKING:
    from tests.worlds.auth import Builder, House

WRONG = f"wrong horse battery {MARK}"
HOME, ELSEWHERE = "phone", "a device that nobody knows"


async def _attempt(house: House, login: str, password: str = WRONG, device: str = ELSEWHERE) -> Refusal:
    with pytest.raises(Refusal) as refused:
        await house.login(login, password, device=device)
    return refused.value


def _looks(refusal: Refusal) -> tuple[object, ...]:
    """Everything of a refusal that a stranger sees."""
    return (
        refusal.code,
        refusal.reason,
        refusal.message,
        tuple(refusal.metadata.items()),
        refusal.fields,
        refusal.retry_after_seconds,
    )


async def test_three_hundred_guesses_at_once_over_two_workers_cost_ten_hashes(house: House, builder: Builder) -> None:
    other = await builder.build()
    await house.register("target")
    before = house.passwords.hashes
    refusals = await asyncio.gather(*(_attempt((house, other)[turn % 2], "target") for turn in range(300)))
    assert house.passwords.hashes - before + other.passwords.hashes == throttle.FREE
    assert Counter(type(refusal) for refusal in refusals) == {InvalidCredentials: 10, TooManyFailures: 290}


async def test_of_two_at_once_the_one_with_the_earlier_clock_is_not_refused(house: House) -> None:
    await _attempt(house, "somebody")
    house.clock.advance(timedelta(milliseconds=-5))
    assert isinstance(await _attempt(house, "somebody"), InvalidCredentials)


async def test_who_signs_in_from_twenty_places_at_once_is_let_in_everywhere(house: House) -> None:
    await house.register("busy")
    house.signing_in._attempts = house.attempts = Throttle(house.tx, CodeHasher(house.secret("codes")))
    signed_in = await asyncio.gather(*(house.login("busy") for _ in range(2 * throttle.FREE)))
    assert len({each.tokens.grant.session_id for each in signed_in}) == 2 * throttle.FREE


async def test_no_more_calls_wait_than_there_is_room_for_and_no_pause_that_is_long(house: House) -> None:
    attempts = Throttle(house.tx, CodeHasher(house.secret("codes")), waiters=1)
    name = attempts.login("target")
    for _ in range(throttle.FREE):
        await attempts.count(name)
    outcomes = await asyncio.gather(*(attempts.count(name) for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [TooManyFailures] * 5
    assert attempts.waited == 1
    house.clock.advance(timedelta(seconds=1))
    await attempts.count(name)
    with pytest.raises(TooManyFailures) as refused:
        await attempts.count(name)
    assert refused.value.retry_after_seconds == 2
    assert attempts.waited == 2
    house.clock.advance(timedelta(seconds=2))
    await attempts.count(name)
    with pytest.raises(TooManyFailures) as refused:
        await attempts.count(name)
    assert refused.value.retry_after_seconds == 4
    assert attempts.waited == 2


async def test_the_control_that_looks_first_and_counts_afterwards_lets_everybody_pass(house: House) -> None:
    everybody = asyncio.Barrier(30)
    name = house.attempts.login("target")

    async def late() -> bool:
        failures = await house.tx.read(
            lambda unit: unit.connection.fetchval("SELECT failures FROM login_attempts WHERE name_hash = $1", name.hash)
        )
        await everybody.wait()
        passed = (failures or 0) < throttle.FREE
        await house.tx.run(
            "test.count",
            lambda uow: uow.connection.execute(
                "INSERT INTO login_attempts AS a (name_hash, failures, last_time, next_time) VALUES ($1, 1, $2, $2)"
                " ON CONFLICT (name_hash) DO UPDATE SET failures = a.failures + 1",
                name.hash,
                uow.now,
            ),
        )
        return passed

    assert await asyncio.gather(*(late() for _ in range(30))) == [True] * 30


async def test_an_account_stands_at_most_a_hundred_guesses_however_patient_the_guesser_is(house: House) -> None:
    await house.register("target", "+491701234567")
    before = house.passwords.hashes
    names = ("target@shop.example", "TARGET@shop.example", "target", "Target", "+491701234567")
    spent = timedelta()
    # Every name until it is refused, and again as soon as one may be tried.
    while spent < timedelta(hours=23):
        pauses = []
        for name, device in [(name, device) for name in names for device in (HOME, ELSEWHERE)]:
            while not isinstance(refusal := await _attempt(house, name, device=device), TooManyFailures):
                continue
            pauses.append(refusal.retry_after_seconds or 0.0)
        pause = timedelta(seconds=min(pauses))
        house.clock.advance(pause)
        spent += pause
    assert house.passwords.hashes - before == 4 * throttle.LIMIT
    # ChangePassword has a count of its own.
    assert 5 * throttle.LIMIT <= 100


async def test_known_and_unknown_names_cannot_be_told_apart_by_answers_or_by_work(house: House) -> None:
    await house.register("known")
    seen = {}
    for name in ("known", "unknown", "known@shop.example", "unknown@shop.example"):
        before = house.passwords.hashes
        looks = [_looks(await _attempt(house, name)) for _ in range(throttle.LIMIT)]
        seen[name] = (looks, house.passwords.hashes - before)
    assert len({str(each) for each in seen.values()}) == 1
    assert seen["known"][1] == throttle.FREE


async def test_a_refused_attempt_says_when_to_come_back_and_then_one_may(house: House) -> None:
    for _ in range(throttle.FREE):
        await _attempt(house, "somebody")
    waits = []
    for _ in range(5):
        refusal = await _attempt(house, "somebody")
        assert isinstance(refusal, TooManyFailures)
        assert refusal.retry_after_seconds is not None
        waits.append(refusal.retry_after_seconds)
        house.clock.advance(timedelta(seconds=refusal.retry_after_seconds))
        assert isinstance(await _attempt(house, "somebody"), InvalidCredentials)
    assert waits == [1, 2, 4, 8, 16]


async def test_the_right_password_is_refused_too_while_guesses_are_too_many_and_then_forgets_them(house: House) -> None:
    await house.register("owner")
    for _ in range(throttle.FREE):
        await _attempt(house, "owner")
    assert isinstance(await _attempt(house, "owner", "correct horse battery"), TooManyFailures)
    house.clock.advance(timedelta(seconds=1))
    await house.login("owner", device=ELSEWHERE)
    for _ in range(throttle.FREE):
        assert isinstance(await _attempt(house, "owner"), InvalidCredentials)


async def test_strangers_who_guess_do_not_shut_the_door_that_the_owner_is_known_at(house: House) -> None:
    await house.register("owner")
    for _ in range(throttle.FREE):
        await _attempt(house, "owner")
    assert isinstance(await _attempt(house, "owner", PASSWORD), TooManyFailures)
    await house.login("owner", device=HOME)
    # What strangers have spent is not given back to them by it.
    assert isinstance(await _attempt(house, "owner"), TooManyFailures)


async def test_who_fails_too_often_at_home_waits_there_by_whatever_name_and_not_elsewhere(house: House) -> None:
    await house.register("owner")
    for _ in range(throttle.FREE):
        assert isinstance(await _attempt(house, "owner", device=HOME), InvalidCredentials)
    for name in ("owner", "owner@shop.example"):
        assert isinstance(await _attempt(house, name, PASSWORD, device=HOME), TooManyFailures)
    await house.login("owner", device=ELSEWHERE)


async def test_failures_at_one_name_leave_the_accounts_other_names_alone(house: House) -> None:
    await house.register("owner")
    for _ in range(throttle.FREE + 1):
        await _attempt(house, "owner")
    assert (await house.login("owner@shop.example")).account.username == "owner"


async def test_a_full_queue_counts_as_no_failure(house: House) -> None:
    await house.register("owner")
    full = Passwords(b"pepper", 4, max_waiting=-2)
    kept, house.signing_in._passwords = house.signing_in._passwords, full
    for _ in range(throttle.FREE + 5):
        assert isinstance(await _attempt(house, "owner", "correct horse battery"), Overloaded)
    house.signing_in._passwords = kept
    await house.login("owner")
    full.close()


async def test_an_attempt_counts_once_its_hash_has_begun_and_not_before(house: House) -> None:
    name = house.attempts.login("owner")

    async def attempted(*, begins: bool) -> None:
        async with house.attempts.attempt(name) as turn:
            if begins:
                turn.begun = True
            raise asyncio.CancelledError

    async def failures() -> object:
        return await house.tx.read(
            lambda unit: unit.connection.fetchval("SELECT failures FROM login_attempts WHERE name_hash = $1", name.hash)
        )

    with pytest.raises(asyncio.CancelledError):
        await attempted(begins=False)
    assert await failures() == 0
    with pytest.raises(asyncio.CancelledError):
        await attempted(begins=True)
    assert await failures() == 1


async def test_a_days_quiet_forgets_the_failures_and_housekeeping_their_rows(house: House) -> None:
    for _ in range(throttle.FREE + 1):
        await _attempt(house, "somebody")
    house.clock.advance(timedelta(hours=25))
    assert isinstance(await _attempt(house, "somebody"), InvalidCredentials)
    assert isinstance(await _attempt(house, "somebody"), InvalidCredentials)
    house.clock.advance(timedelta(hours=25))
    assert await house.tx.run("test.sweep", sweeps.sweep) == 1
    rows = await house.tx.read(lambda unit: unit.connection.fetchval("SELECT count(*) FROM login_attempts"))
    assert rows == 0


async def test_what_was_typed_is_not_in_the_table_of_failures(house: House) -> None:
    await _attempt(house, "my password in the wrong field")
    stored = await house.tx.read(lambda unit: unit.connection.fetchval("SELECT a::text FROM login_attempts a"))
    assert "wrong field" not in stored
    assert b"wrong field".hex() not in stored
