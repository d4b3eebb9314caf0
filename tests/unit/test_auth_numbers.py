"""The numbers that the contract, the docs and the letters promise of accounts: tests elsewhere count by these names.

Each stands here once more, as it was promised: a name that came to mean another number would pass all of those.
"""

from __future__ import annotations

from datetime import timedelta

from marketd.audit import changes, journal
from marketd.auth import servicer, sweeps
from marketd.auth.accounts import hash_queue, passwords, update
from marketd.auth.addresses import model as addresses
from marketd.auth.codes import change, credentials, pace, recover, second_factor, send, throttle
from marketd.auth.services import service_accounts
from marketd.auth.sessions import access_tokens, keys, principals, token_memory, values
from marketd.transport import validation

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def test_codes_and_letters_are_good_for_as_long_as_they_say() -> None:
    assert (send.LIFETIME, send.TRIES) == (10 * MINUTE, 5)
    assert (send.SENDS, send.TO_ONE_TARGET, send.WINDOW) == (5, 10, HOUR)
    assert (recover.LIFETIME, recover.PAUSE, recover.MAX_OUT) == (30 * MINUTE, MINUTE, 5)
    assert (change.UNDO_LIFETIME, update.USERNAME_KEPT) == (72 * HOUR, 72 * HOUR)
    assert (second_factor.STEP_SECONDS, credentials.RECOVERY_CODES, credentials.SECRET_BYTES) == (30, 10, 32)


def test_guesses_are_paused_after_ten_and_stopped_after_twenty() -> None:
    assert (throttle.FREE, throttle.LIMIT, throttle.FORGET) == (10, 20, DAY)
    # Who signs in from many places at once waits two seconds at most before it is refused.
    assert (throttle.PATIENCE_SECONDS, throttle.WAITERS) == ((0.25, 0.5, 1.25), 64)
    assert (recover.ASKED_PER_SECOND, recover.ASKED_AT_ONCE, pace.SHARES) == (20.0, 500, 10)
    assert (hash_queue.THREADS, hash_queue.MAX_WAITING, hash_queue.MAX_OF_ACCOUNT) == (2, 32, 2)
    assert (passwords.MIN_LENGTH, passwords.MAX_LENGTH, passwords.MIN_DISTINCT) == (8, 128, 3)


def test_tokens_and_what_is_known_of_them_are_as_young_as_promised() -> None:
    assert (access_tokens.MAX_LIFETIME, service_accounts.TOKEN_LIFETIME) == (15 * MINUTE, 5 * MINUTE)
    # Within two seconds a worker knows, by three polls that may fail and one that may hang.
    assert (principals.FRESH_SECONDS, principals.POLL_SECONDS, principals.POLL_TIMEOUT_SECONDS) == (2.0, 0.5, 1.5)
    assert (timedelta(seconds=30), 3.0) == (principals.WINDOW, principals.KEYS_SECONDS)
    assert (principals.CAPACITY, principals.RECENT) == (20_000, 10_000)
    assert (token_memory.REFUSED, token_memory.REFUSED_SECONDS) == (10_000, 1.0)
    # A key is published before it signs, and verifies for longer than what it signed lasts.
    assert (keys.PUBLISHED, keys.VERIFYING_ON) == (MINUTE, 20 * MINUTE)
    assert (sweeps.KEEP_SESSIONS, sweeps.KEEP_CHANGES) == (30 * DAY, HOUR)


def test_what_one_account_may_have_is_bounded() -> None:
    assert (values.MAX_OPEN, values.MAX_ADDRESSES, values.MAX_GENERATIONS) == (1_000, 100, 64)
    assert (addresses.MAX_ADDRESSES, servicer.MAX_DEVICE_NAME) == (50, 100)


def test_the_audit_log_is_bounded() -> None:
    assert (changes.MAX_CHANGES, changes.MAX_TEXT) == (50, 500)
    assert (journal.CAPACITY, journal.ADDRESSES, journal.BATCH) == (10_000, 10_000, 500)
    assert (journal.REFUSALS_SECONDS, journal.WRITE_SECONDS, journal.RETRY_SECONDS) == (1.0, 2.0, 0.5)


def test_requests_are_bounded_where_the_contract_sets_no_limit() -> None:
    assert (validation.MAX_LIST_ITEMS, validation.MAX_ITEMS) == (1_000, 10_000)
