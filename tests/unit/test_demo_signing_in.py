"""People of the demo sign in on a machine that has much to do: each waits for a turn instead of beginning anew."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest
from marketd.demo import seed
from marketplace_client import MarketplaceClient, MarketplaceError

BUSY = MarketplaceError(grpc.StatusCode.UNAVAILABLE, "The server is busy.", reason="OVERLOADED")
LATE = MarketplaceError(grpc.StatusCode.DEADLINE_EXCEEDED, "Too late.")
WRONG = MarketplaceError(grpc.StatusCode.UNAUTHENTICATED, "Wrong.", reason="INVALID_CREDENTIALS")
SignInMade = Callable[[list[MarketplaceError]], list[str]]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> SignInMade:
    """Have sign-ins refused with these, one after the other, and then let in; who has called is listed."""

    def begin(refusals: list[MarketplaceError]) -> list[str]:
        calls: list[str] = []

        async def login(_: MarketplaceClient, login: str, password: str, **__: object) -> None:
            calls.append(login)
            if len(calls) <= len(refusals):
                raise refusals[len(calls) - 1]

        monkeypatch.setattr(MarketplaceClient, "login", login)
        monkeypatch.setattr(seed, "_SIGN_IN_PAUSE_SECONDS", 0.0)
        return calls

    return begin


async def test_a_busy_server_is_asked_again(answer: SignInMade) -> None:
    calls = answer([BUSY, LATE, BUSY])
    async with seed.signed_in("127.0.0.1:1", "buyer1@demo.example.com", "pass"):
        assert len(calls) == 4


async def test_a_wrong_password_is_not(answer: SignInMade) -> None:
    calls = answer([WRONG] * 20)
    with pytest.raises(MarketplaceError, match="Wrong"):
        async with seed.signed_in("127.0.0.1:1", "buyer1@demo.example.com", "pass"):
            pytest.fail("signed in")
    assert len(calls) == 1


async def test_and_patience_has_an_end(answer: SignInMade) -> None:
    calls = answer([BUSY] * 100)
    with pytest.raises(MarketplaceError, match="busy"):
        async with seed.signed_in("127.0.0.1:1", "buyer1@demo.example.com", "pass"):
            pytest.fail("signed in")
    assert 5 <= len(calls) <= 20
