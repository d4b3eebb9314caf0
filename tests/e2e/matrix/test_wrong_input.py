"""Wrong input to every method (T22): each gets one of the contract's answers, soon, and the server goes on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from marketd.commands.check import check_database
from marketd.transport.rules import Kind, RateClass
from marketd.transport.validation import MAX_INLINE_BYTES, MAX_REQUEST_BYTES, request_limit
from marketplace.delivery.v1 import delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.tracking.v1 import tracking_service_pb2

from tests.e2e.matrix.mutations import Mutation, broken, odd, wild
from tests.e2e.matrix.people import People
from tests.e2e.matrix.recipes import RECIPES
from tests.e2e.matrix.recipes_orders import positions
from tests.e2e.matrix.scenes import caller_for
from tests.worlds.agreed import beyond
from tests.worlds.matrix import Market
from tests.worlds.observed import RULES
from tests.worlds.things import new_key
from tests.worlds.wire import Outcome, check_contract, check_refusal

T = TypeVar("T")

METHODS = sorted(RULES)
OURS = [method for method in METHODS if method.startswith("/marketplace.")]
# Where requests are parsed the limit is held for all: the last method of each service shows it in every run, and the
# one with a limit of its own.
SHOWN = {*{method.rpartition("/")[0]: method for method in OURS}.values()} | {
    method for method in OURS if request_limit(RULES[method]) != MAX_REQUEST_BYTES
}
AT_ONCE = 8
COMBINED = 12
# Most values are tried in the long form alone (`make check`): each costs a call, and often a scene of its own.
SHORT = 8
# A method that may be called again and again needs no more than a few new scenes.
RENEWALS = 10
SHORT_RENEWALS = 3
SEED = 20_240_229

# What wrong input may meet. DEADLINE_EXCEEDED would be a hang, UNAVAILABLE a server that fell over.
FINE = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


async def ready(market: Market, people: People, method: str) -> tuple[str | None, tuple[Message, ...]]:
    """A token and the requests that would be right with it."""
    who = caller_for(RECIPES[method])
    scene = await RECIPES[method].prepare(market, who)
    return people[who].token if scene.caller is None else scene.caller.token, scene.bodies


def among(bodies: tuple[Message, ...], place: int, wrong: bytes) -> list[bytes]:
    """The stream of requests with the wrong one in its place."""
    raw = [body.SerializeToString() for body in bodies]
    return [*raw[:place], wrong, *raw[place + 1 :]]


def check(outcome: Outcome, name: str) -> None:
    """One of the contract's answers."""
    assert outcome.code in FINE, f"{name}: {outcome}"
    check_contract(outcome, name)


def check_bounds(outcome: Outcome, method: str, raw: bytes, name: str) -> None:
    """What went through has nothing in it that is larger than was agreed. Of a stream the wrong part may be unread."""
    if outcome.code is grpc.StatusCode.OK and RULES[method].kind is Kind.UNARY:
        assert beyond(RULES[method].request.FromString(raw)) == [], name


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("most", [SHORT, pytest.param(None, marks=pytest.mark.faults)], ids=["some", "all"])
async def test_no_bytes_bring_a_method_out_of_the_contract(
    market: Market, people: People, method: str, most: int | None
) -> None:
    rng = random.Random(f"{SEED} {method}")  # noqa: S311 - the same every time
    token, bodies = await ready(market, people, method)
    take = 1 if RECIPES[method].take else None
    gate = asyncio.Semaphore(AT_ONCE)

    async def attempt(name: str, stream: list[bytes]) -> tuple[str, Outcome]:
        async with gate:
            return name, await market.send_as(token, method, *stream, take=take)

    wrong: list[tuple[str, list[bytes]]] = []
    for place, body in enumerate(bodies[:3]):
        found: list[Mutation] = list(broken(rng, body.SerializeToString()))
        wrong += [(name, among(bodies, place, raw)) for name, raw in chosen(rng, found, most)]
    for name, outcome in await asyncio.gather(*(attempt(name, stream) for name, stream in wrong)):
        check(outcome, name)


def chosen(rng: random.Random, values: Iterable[T], most: int | None) -> list[T]:
    """At most that many of the values, in their order; all when it is None."""
    found = list(values)
    if most is None or len(found) <= most:
        return found
    return [found[place] for place in sorted(rng.sample(range(len(found)), most))]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("most", [SHORT, pytest.param(None, marks=pytest.mark.faults)], ids=["some", "all"])
@pytest.mark.parametrize("method", METHODS)
async def test_no_values_bring_a_method_out_of_the_contract(
    market: Market, people: People, method: str, most: int | None
) -> None:
    """One by one, and whenever something was done, on a new scene: a used one would hide what lies behind.

    Reads do nothing, so several run at once.
    """
    rng = random.Random(f"{SEED} {method}")  # noqa: S311 - the same every time
    token, bodies = await ready(market, people, method)
    take = 1 if RECIPES[method].take else None
    combined = COMBINED if most is None else COMBINED // 3
    changes = RULES[method].rate_class not in (RateClass.READ, RateClass.STREAM)
    if RULES[method].rate_class is RateClass.READ:
        (body,) = bodies
        reads = [*chosen(rng, odd(rng, body), most), *(wild(rng, body) for _ in range(combined))]
        gate = asyncio.Semaphore(AT_ONCE)

        async def attempt(name: str, raw: bytes) -> None:
            async with gate:
                outcome = await market.send_as(token, method, raw, take=take)
                check(outcome, name)
                check_bounds(outcome, method, raw, name)

        async with asyncio.TaskGroup() as group:
            for name, raw in reads:
                group.create_task(attempt(name, raw))
        return
    for place in range(min(len(bodies), 3)):
        renewals = RENEWALS if most is None else SHORT_RENEWALS
        wrong = list(odd(rng, bodies[place]))
        # Their places, since a new scene makes the values anew: how many there are is the message's shape.
        tried: list[int | None] = [*chosen(rng, range(len(wrong)), most), *(None for _ in range(combined))]
        for at in tried:
            name, raw = wild(rng, bodies[place]) if at is None else wrong[at]
            outcome = await market.send_as(token, method, *among(bodies, place, raw), take=take)
            check(outcome, name)
            check_bounds(outcome, method, raw, name)
            if changes and outcome.code is grpc.StatusCode.OK and renewals:
                renewals -= 1
                token, bodies = await ready(market, people, method)
                wrong = list(odd(rng, bodies[place]))


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    "method", [method if method in SHOWN else pytest.param(method, marks=pytest.mark.faults) for method in OURS]
)
async def test_a_request_over_its_limit_is_refused(market: Market, people: People, method: str) -> None:
    limit = request_limit(RULES[method])
    assert limit == (MAX_INLINE_BYTES if method.endswith("Inline") else MAX_REQUEST_BYTES)
    token, _ = await ready(market, people, method)
    # A field that nobody knows makes it too large without breaking any other rule.
    outcome = await market.send_as(
        token, method, b"\xfa\xff\x07" + _varint(limit) + b"x" * limit, take=RECIPES[method].take
    )
    if limit == MAX_REQUEST_BYTES:
        assert (outcome.code, outcome.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED"), outcome
        check_refusal(outcome)
    else:
        # More than the connection takes: refused by gRPC itself, before there is a call to refuse.
        assert outcome.code is grpc.StatusCode.RESOURCE_EXHAUSTED, outcome


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes((*parts, number))


@pytest.mark.asyncio(loop_scope="session")
async def test_after_all_that_an_order_goes_the_whole_way_and_the_invariants_hold(market: Market) -> None:
    trip = await market.picked_up()
    assert trip.rider is not None
    request = delivery_service_pb2.CompleteDeliveryRequest(
        request_id=new_key(), delivery_id=trip.delivery_id, code=await market.code_of(trip)
    )
    report = tracking_service_pb2.ReportLocationsRequest(uplink_id=new_key(), batch=positions())
    assert (await market.call(report, trip.rider.person)).ack.acked_seq == 3
    await market.call(request, trip.rider.person)
    order = (await market.call(order_service_pb2.GetOrderRequest(order_id=trip.order_id), trip.buyer)).order
    assert order.state == order_pb2.ORDER_STATE_DELIVERED
    await market.settle()
    findings = await check_database(market.url)
    assert [finding for finding in findings if not finding.is_ok] == []
    assert await market.value("SELECT count(*) FROM dead_letters") == 0
