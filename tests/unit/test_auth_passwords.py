"""Passwords: what may be one, and that hashing is whole, even-handed and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from marketd.auth.common_passwords import COMMON_PASSWORDS
from marketd.auth.errors import PasswordLength, PasswordTooCommon
from marketd.auth.passwords import THREADS, Passwords, check_new_password
from marketd.kernel.refusals import Overloaded

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


def test_length_is_judged_in_normalised_characters() -> None:
    with pytest.raises(PasswordLength):
        check_new_password("e\u0301" * 7)
    with pytest.raises(PasswordLength):
        check_new_password("ab" * 65)
    check_new_password("zwölf Ölkännchen")


def test_the_blocklist_holds_more_than_three_thousand_lower_case_passwords_of_legal_length() -> None:
    assert len(COMMON_PASSWORDS) > 3_000
    assert all(len(word) >= 8 and word == word.casefold() for word in COMMON_PASSWORDS)
