"""Adds to a guest's cart and to an account's, the merge of the two and an order, at one instant from two processes.

What was acknowledged is in the merged cart, piece by piece, and what was refused is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from google.protobuf.message import Message
from marketplace.auth.v1 import auth_service_pb2
from marketplace.cart.v1 import cart_service_pb2

from tests.worlds.faults import Variant, World
from tests.worlds.lines import Account, Lines, open_guest_cart, register
from tests.worlds.rivals import Move, Outcome, Rivals
from tests.worlds.served import Served
from tests.worlds.things import PASSWORD, new_key

pytestmark = pytest.mark.usefixtures("both_workers")

# An add is sent a little after another, and the merge somewhere among them: later in each round.
_STEP_SECONDS = 0.0008
_ADDS = 6


@pytest.fixture(scope="module")
def rivals(served: Served) -> Iterator[Rivals]:
    """The two processes."""
    with Rivals(served.port) as both:
        yield both


@pytest.fixture
async def lines(world: World) -> AsyncIterator[Lines]:
    """Connections to set the rounds up with, and to look at what came of them."""
    async with world.lines(8) as opened:
        yield opened


def _adds(who: Sequence[Account], variant: Variant) -> list[Move]:
    """Adds of 1, 2, 4, … pieces, in turn to each of these carts: the pieces in the end say which of them are in."""
    return [
        Move(
            who[number % len(who)],
            cart_service_pb2.AddCartItemRequest(
                request_id=new_key(), variant_id=variant.variant_id, quantity=2**number
            ),
            number * _STEP_SECONDS,
        )
        for number in range(_ADDS)
    ]


def _merge(number: int, buyer: Account, guest: Account) -> Message:
    """At sign-in, or by a call of its own."""
    if number % 2:
        return auth_service_pb2.LoginRequest(login=buyer.email, password=PASSWORD, guest_cart_token=guest.token)
    return cart_service_pb2.MergeCartsRequest(request_id=new_key(), guest_token=guest.token)


def _acknowledged(moves: Sequence[Move], outcomes: Sequence[Outcome]) -> int:
    """How many pieces were said to be in; what was not was refused to a guest, and for the right reason."""
    pieces = 0
    for move, outcome in zip(moves, outcomes, strict=True):
        request: Any = move.request
        if outcome.is_ok:
            pieces += request.quantity
        else:
            assert outcome.reason == "TOKEN_EXPIRED", outcome
            assert not move.account.user_id
    return pieces


@pytest.mark.parametrize("rounds", [4, pytest.param(40, marks=pytest.mark.faults)])
async def test_what_was_added_while_carts_are_merged_is_there_or_was_refused(
    served: Served, world: World, lines: Lines, rivals: Rivals, rounds: int
) -> None:
    said = served.database_log().count("deadlock detected")
    one, two, ordered = await asyncio.gather(*(world.product(lines, 500) for _ in range(3)))
    refused = 0
    for number in range(rounds):
        buyer, guest = await asyncio.gather(register(lines), open_guest_cart(lines))
        order = await world.quoted(lines, buyer, [(ordered, 1)])
        first, second = _adds([guest, buyer], one), _adds([buyer, guest], two)
        when = _ADDS * _STEP_SECONDS * number / rounds
        others = [Move(buyer, _merge(number, buyer, guest), when), Move(buyer, order, when)]
        added, rest = rivals.race(first, [*second, *others])
        merged, placed = rest[_ADDS:]
        assert merged.is_ok, merged
        assert placed.is_ok, placed
        pieces = {
            one.variant_id: _acknowledged(first, added),
            two.variant_id: _acknowledged(second, rest[:_ADDS]),
        }
        refused += sum(not outcome.is_ok for outcome in (*added, *rest))
        cart = (await lines.call(buyer, cart_service_pb2.GetCartRequest())).cart
        assert {item.variant_id: item.quantity for item in cart.items} == pieces
    assert rounds < 10 or refused, "no add ever came after the merge"
    assert served.database_log().count("deadlock detected") == said
