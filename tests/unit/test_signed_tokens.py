"""What clients carry for us and give back: only what we have made, for what and for whom we have made it."""

from __future__ import annotations

import base64
import string
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from marketd.kernel.call.guest_tokens import GuestTokens
from marketd.kernel.call.seal import Seal, SealBroken
from marketd.kernel.call.tokens import TAG_BYTES, SignedToken
from marketd.kernel.events.watch import OF_NO_USE, TOO_OLD, ResetReason, ResumeTokens
from marketd.kernel.values.clock import ManualClock

SECRET = b"s" * 32
TOKENS = SignedToken(SECRET, "test")


def test_a_token_comes_back_as_it_went_and_has_no_padding() -> None:
    for body in (b"", b"a", b"ab", b"abc", bytes(range(256))):
        token = TOKENS.issue(body, b"me").decode()
        assert "=" not in token
        assert SignedToken(SECRET, "test").read(token, b"me") == body


def test_a_token_is_good_for_its_secret_its_purpose_and_its_context_alone() -> None:
    token = TOKENS.issue(b"body", b"me").decode()
    assert TOKENS.read(token) is None
    assert TOKENS.read(token, b"you") is None
    assert SignedToken(b"t" * 32, "test").read(token, b"me") is None
    assert SignedToken(SECRET, "another").read(token, b"me") is None
    # Where the context ends is part of what is signed.
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    shifted = base64.urlsafe_b64encode(b"e" + raw).rstrip(b"=").decode()
    assert TOKENS.read(shifted, b"m") is None


def test_a_token_that_differs_in_any_bit_is_none_of_ours() -> None:
    token = TOKENS.issue(b"body", b"me").decode()
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for place in range(len(raw) * 8):
        bad = bytearray(raw)
        bad[place // 8] ^= 1 << place % 8
        assert TOKENS.read(base64.urlsafe_b64encode(bad).rstrip(b"=").decode(), b"me") is None


def test_a_token_has_one_spelling() -> None:
    """Two texts that are one token would be two keys where tokens are kept or compared."""
    token = TOKENS.issue(b"body", b"me").decode()  # 20 bytes, so the last character has bits to spare
    raw = base64.urlsafe_b64decode(token + "=")
    twins = [token[:-1] + last for last in string.ascii_letters + string.digits if last != token[-1]]
    same = [twin for twin in twins if base64.urlsafe_b64decode(twin + "=") == raw]
    assert same
    for other in (*same, token + "=", token + "\n", " " + token, token[:-1], "", "ä" + token[1:], "A" * TAG_BYTES):
        assert TOKENS.read(other, b"me") is None


def test_a_guests_token_is_its_cart_and_nothing_longer_or_shorter_is_one() -> None:
    guests, cart = GuestTokens(SECRET), UUID(int=7)
    token = guests.issue(cart)
    assert guests.read(token) == cart
    assert token == guests.issue(cart)
    longer = SignedToken(SECRET, "guest-carts").issue(cart.bytes + b"\0").decode()
    for other in (longer, token[:-1], "", TOKENS.issue(cart.bytes).decode()):
        assert guests.read(other) is None


def test_what_is_sealed_opens_in_its_own_place_only() -> None:
    seal = Seal(b"k" * 32)
    sealed = seal.close(b"123456", "account 1")
    assert seal.open(sealed, "account 1") == b"123456"
    assert seal.close(b"123456", "account 1") != sealed
    assert b"123456" not in sealed
    for bad, context, key in (
        (sealed, "account 2", b"k" * 32),
        (sealed, "account 1", b"l" * 32),
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), "account 1", b"k" * 32),
        (sealed[:5], "account 1", b"k" * 32),
    ):
        with pytest.raises(SealBroken):
            Seal(key).open(bad, context)


def test_a_watch_goes_on_with_its_own_token_for_a_day_and_says_why_it_does_not() -> None:
    clock = ManualClock(datetime(2026, 11, 30, tzinfo=UTC))
    tokens = ResumeTokens(SECRET, "orders", clock)
    token = tokens.token(b"me", 42)
    assert tokens.after("", b"me") is None
    assert tokens.after(token, b"me") == 42
    clock.advance(timedelta(hours=24))
    assert tokens.after(token, b"me") == 42
    clock.advance(timedelta(seconds=1))
    assert tokens.after(token, b"me") == TOO_OLD
    for other in (tokens.token(b"you", 42), ResumeTokens(SECRET, "stocks", clock).token(b"me", 42), "made up"):
        assert tokens.after(other, b"me") == OF_NO_USE
    assert [ResetReason.of(after).value for after in (OF_NO_USE, TOO_OLD, 42)] == [
        "TOKEN_UNKNOWN",
        "TOKEN_TOO_OLD",
        "EVENTS_LOST",
    ]
