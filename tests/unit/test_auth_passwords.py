"""Passwords: what may be one, and that hashing is whole, even-handed and bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from marketd.auth.accounts.common_passwords import COMMON_PASSWORDS
from marketd.auth.accounts.hash_queue import THREADS, Turn
from marketd.auth.accounts.passwords import Passwords, check_new_password
from marketd.auth.errors import PasswordLength, PasswordTooCommon
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.refusals import Overloaded

# NFKC makes plain letters of these.
FULL_WIDTH = "".join(chr(ord(letter) + 0xFEE0) for letter in "password")


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(b"pepper", 4, max_waiting=8)
    yield made
    made.close()


async def test_a_long_password_counts_to_its_last_character(passwords: Passwords) -> None:
    long = "🐘" * 127
    stored = await passwords.hash(long + "a")
    assert await passwords.verify(long + "a", stored)
    assert not await passwords.verify(long + "b", stored)


async def test_a_password_typed_on_another_keyboard_is_the_same_password(passwords: Passwords) -> None:
    stored = await passwords.hash("caf\u00e9 au lait")
    assert await passwords.verify("cafe\u0301 au lait", stored)


async def test_a_nul_does_not_cut_a_password_short(passwords: Passwords) -> None:
    stored = await passwords.hash("before\0after")
    assert not await passwords.verify("before\0other", stored)


async def test_another_pepper_makes_a_stolen_hash_useless(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse battery")
    other = Passwords(b"another pepper", 4)
    assert not await other.verify("correct horse battery", stored)
    other.close()


async def test_an_unknown_account_costs_the_same_hash_and_never_matches(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse battery")
    before = passwords.hashes
    assert not await passwords.verify("wrong horse battery", stored)
    known = passwords.hashes - before
    assert not await passwords.verify("wrong horse battery", None)
    assert passwords.hashes - before - known == known == 1


async def test_a_wrong_password_takes_as_long_against_a_cheaper_hash(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse battery")
    dearer = Passwords(b"pepper", 10)

    async def seconds(against: str | None) -> float:
        before = time.process_time()
        assert not await dearer.verify("wrong horse battery", against)
        return time.process_time() - before

    # 2^4 to 2^9 together are 2^10 but for the sixty-fourth part that ran first: a hash at cost 4 alone is 1/64.
    cheap, nobody = min([await seconds(stored) for _ in range(5)]), min([await seconds(None) for _ in range(5)])
    assert cheap > nobody / 4
    assert await dearer.verify("correct horse battery", stored)
    dearer.close()


async def test_what_would_not_be_done_before_the_deadline_is_refused_at_once(passwords: Passwords) -> None:
    slow = Passwords(b"pepper", 10)
    await slow.hash("correct horse")
    calls.enter(Call(deadline=time.monotonic() + 60))
    busy = [asyncio.create_task(slow.hash("correct horse")) for _ in range(THREADS)]
    await asyncio.sleep(0)
    calls.enter(Call(deadline=time.monotonic() + 0.001))
    with pytest.raises(Overloaded):
        await slow.hash("correct horse")
    await asyncio.gather(*busy)
    slow.close()


async def test_one_that_need_not_wait_is_hashed_however_long_the_last_one_took(passwords: Passwords) -> None:
    slow = Passwords(b"pepper", 10)
    await slow.hash("correct horse")
    calls.enter(Call(deadline=time.monotonic() + 0.001))
    # Its call is late, and the measure of the next one is fresh.
    assert await slow.hash("correct horse")
    slow.close()


async def test_nothing_is_hashed_for_a_call_that_is_over(passwords: Passwords) -> None:
    turn = Turn()
    busy = [asyncio.create_task(passwords.hash("correct horse")) for _ in range(THREADS)]
    waiting = asyncio.create_task(passwords.verify("correct horse", None, turn))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(*busy)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not turn.begun
    assert await passwords.hash("correct horse")
    assert not turn.begun


async def test_a_full_queue_refuses_at_once_and_recovers(passwords: Passwords) -> None:
    room = THREADS + 8
    outcomes = await asyncio.gather(*(passwords.hash("correct horse") for _ in range(room + 5)), return_exceptions=True)
    assert sum(isinstance(outcome, Overloaded) for outcome in outcomes) == 5
    assert await passwords.hash("correct horse")


async def test_a_hash_of_another_cost_wants_an_upgrade(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse battery")
    assert not passwords.needs_upgrade(stored)
    dearer = Passwords(b"pepper", 5)
    assert dearer.needs_upgrade(stored)
    dearer.close()


@pytest.mark.parametrize(
    "password",
    ["password123", "PassWord123", FULL_WIDTH, "aaaaaaaaaaaa", "abababababab", "jo@shop.example", "joanna.doe"],
)
def test_passwords_that_are_guessed_first_are_refused(password: str) -> None:
    with pytest.raises(PasswordTooCommon):
        check_new_password(password, "jo@shop.example", "Joanna.Doe")


@pytest.mark.parametrize(
    "password",
    ["nina1234", "Nina-2026!", "newcomer99", "ninanewcomer1", "nina@example", "491701234567"],
)
def test_an_own_name_with_digits_and_signs_is_still_the_own_name(password: str) -> None:
    names = ("nina@example.com", "nina", "+491701234567", "Nina Newcomer")
    with pytest.raises(PasswordTooCommon):
        check_new_password(password, *names)


def test_a_name_may_be_a_part_of_a_password() -> None:
    check_new_password("nina likes tea", "nina@example.com", "nina", "", "Nina Newcomer")
    check_new_password("8361 9274 5566", "nina@example.com")


def test_length_is_judged_in_normalised_characters() -> None:
    with pytest.raises(PasswordLength):
        check_new_password("e\u0301" * 7)
    with pytest.raises(PasswordLength):
        check_new_password("ab" * 65)
    check_new_password("zwölf Ölkännchen")


def test_the_blocklist_holds_more_than_three_thousand_lower_case_passwords_of_legal_length() -> None:
    assert len(COMMON_PASSWORDS) > 3_000
    assert all(len(word) >= 8 and word == word.casefold() for word in COMMON_PASSWORDS)
