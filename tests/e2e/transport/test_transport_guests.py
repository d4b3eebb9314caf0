"""Guests at the edge: known by a signature alone, counted by themselves, and let in where they are named alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from marketd.kernel.call import call as kernel_call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.guest_tokens import GuestTokens
from marketd.transport.rules import RateClass

from tests.worlds.probe import GUESTS, Probe

StartProbe = Callable[..., Awaitable[Probe]]


async def test_a_guest_is_known_without_asking_anybody(probe: Probe) -> None:
    seen: list[Caller] = []

    async def note(request: Any, context: Any) -> Any:
        seen.append(kernel_call.current_caller())
        return probe.answer()

    probe.on["GetCart"] = probe.on["Get"] = note
    cart_id = UUID("0190a000-0000-7000-8000-000000000001")
    for method in ("GetCart", "Get"):
        await probe.result(method, probe.question(), token=GUESTS.issue(cart_id))
    assert {(caller.guest_cart_id, caller.user_id, caller.roles) for caller in seen} == {
        (cart_id, None, frozenset({Role.GUEST}))
    }
    assert {caller.key for caller in seen} == {f"guest:{cart_id}"}
    assert seen[0].address == "127.0.0.1"
    assert not probe.tokens.verified


async def test_what_looks_like_a_guests_token_and_is_none_is_refused_everywhere(probe: Probe) -> None:
    token = GUESTS.issue(uuid4())
    last = "A" if token[-1] != "A" else "E"
    forged = [GuestTokens(b"another secret of 16").issue(uuid4()), token[:-1] + last, token[:-1], token * 2, "A" * 43]
    for bad in forged:
        for method in ("GetCart", "Get", "GetMine"):
            assert (await probe.refused(method, probe.question(), token=bad)).reason == "TOKEN_INVALID"


async def test_a_guest_is_counted_by_itself_where_it_is_named_and_by_its_address_elsewhere(
    start_probe: StartProbe,
) -> None:
    probe = await start_probe(rate_limits={RateClass.READ: (0.01, 2), RateClass.LOGIN: (0.01, 2)})
    one, other = GUESTS.issue(uuid4()), GUESTS.issue(uuid4())
    for token in (one, other):
        for _ in range(2):
            await probe.result("GetCart", probe.question(), token=token)
        assert (await probe.refused("GetCart", probe.question(), token=token)).reason == "RATE_LIMITED"
    # As many carts as one likes buy no further call of what is open to everybody, sign-ins least of all.
    for method in ("Get", "Login"):
        for token in (one, other):
            await probe.result(method, probe.question(), token=token)
        for late in (one, GUESTS.issue(uuid4()), None):
            assert (await probe.refused(method, probe.question(), token=late)).reason == "RATE_LIMITED"


@pytest.mark.parametrize("method", ["GetMine", "Ask", "Sell"])
async def test_a_guest_is_no_account(probe: Probe, method: str) -> None:
    refused = await probe.refused(method, probe.question(), token=GUESTS.issue(uuid4()))
    assert refused.why == ("PERMISSION_DENIED", "ROLE_REQUIRED")
