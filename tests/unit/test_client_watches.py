"""The typed client's watches: what is opened again and from where, how long it waits, and when it gives up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from marketd.kernel.events.watch import BEAT_SECONDS
from marketplace.cart.v1.cart_service_pb2 import WatchCartResponse
from marketplace.delivery.v1.delivery_service_pb2 import WatchDeliveriesResponse
from marketplace.order.v1 import order_pb2
from marketplace.order.v1.order_service_pb2 import WatchOrderResponse, WatchOrdersRequest, WatchOrdersResponse
from marketplace.tracking.v1.tracking_service_pb2 import WatchDeliveryResponse
from marketplace_client import (
    MarketplaceClient,
    MarketplaceError,
    watch,
    watch_cart,
    watch_deliveries,
    watch_delivery,
    watch_order,
    watch_orders,
)

from tests.worlds.client_script import Came, Script, asking

CODE = grpc.StatusCode
BROKEN = (CODE.UNAVAILABLE, "")


async def keep(watched: AsyncIterator[Any], told: list[str]) -> None:
    """The tokens of all that a watch tells, also when it ends badly."""
    async for message in watched:
        told.append(message.resume_token)


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have waited each time; nobody waits for it here."""
    seconds: list[float] = []
    sleep = asyncio.sleep

    async def noted(delay: float) -> None:
        seconds.append(delay)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    return seconds


async def test_pauses_grow_while_nothing_comes_and_a_message_without_a_token_keeps_the_place(
    paused: list[float],
) -> None:
    tokens: list[str] = []

    async def answer(call: Came) -> AsyncIterator[Message]:
        tokens.append((await call.message()).resume_token)
        if call.number == 8:
            yield WatchOrderResponse(resume_token="1")
        if call.number in (9, 10):
            yield WatchOrderResponse()
        if call.number < 10:
            await call.refuse(*BROKEN)

    async with asyncio.timeout(20), asking(Script(WatchOrder=answer)) as client:
        told = [message.resume_token async for message in watch_order(client, "o", resume_token="0")]
    assert told == ["1", "", ""]
    assert tokens == [*["0"] * 8, "1", "1"]
    longest = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 0.1, 0.1]
    assert len(paused) == len(longest)
    assert all(most / 2 <= seconds <= most for seconds, most in zip(paused, longest, strict=True)), paused


ENDS_THAT_PASS = [
    (CODE.UNAVAILABLE, "DRAINING"),
    BROKEN,
    (CODE.CANCELLED, ""),
    (CODE.RESOURCE_EXHAUSTED, "SLOW_CONSUMER"),
    (CODE.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
    (CODE.INTERNAL, ""),
    (CODE.UNKNOWN, ""),
]
ENDS_FOR_GOOD = [
    (CODE.NOT_FOUND, "NOT_FOUND"),
    (CODE.INTERNAL, "INTERNAL"),
    (CODE.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"),
    (CODE.UNIMPLEMENTED, ""),
    (CODE.UNAUTHENTICATED, "TOKEN_EXPIRED"),
]


async def test_what_opening_again_can_mend_is_opened_again_and_nothing_else_is(paused: list[float]) -> None:
    refusals = [*ENDS_THAT_PASS, *ENDS_FOR_GOOD]

    async def answer(call: Came) -> AsyncIterator[Message]:
        yield WatchOrderResponse(resume_token=str(call.number))
        await call.refuse(*refusals[call.number - 1])

    # Somebody else keeps the token fresh, so the client cannot.
    async with asyncio.timeout(20), asking(Script(WatchOrder=answer), access_token="given") as client:
        for opened, ended in zip([len(ENDS_THAT_PASS) + 1, *[1] * 4], ENDS_FOR_GOOD, strict=True):
            told = list[str]()
            with pytest.raises(MarketplaceError) as refused:
                await keep(watch_order(client, "o"), told)
            assert len(told) == opened
            assert (refused.value.code, refused.value.reason) == ended
    assert len(paused) == len(ENDS_THAT_PASS)


async def test_a_stream_that_falls_silent_is_given_up_at_both_ends_and_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A heartbeat or two may be lost on the way.
    assert 3 * BEAT_SECONDS < watch._SILENCE_SECONDS <= 4 * BEAT_SECONDS
    monkeypatch.setattr(watch, "_SILENCE_SECONDS", 0.3)
    left = asyncio.Event()

    async def answer(call: Came) -> AsyncIterator[Message]:
        assert (await call.message()).resume_token == ("" if call.number == 1 else "1")
        yield WatchOrderResponse(resume_token=str(call.number))
        if call.number == 1:
            try:
                await asyncio.Event().wait()
            finally:
                left.set()

    async with asyncio.timeout(20), asking(Script(WatchOrder=answer)) as client:
        assert [message.resume_token async for message in watch_order(client, "o")] == ["1", "2"]
        await left.wait()


async def test_a_watch_gives_up_when_nothing_has_come_for_as_long_as_it_was_told(
    monkeypatch: pytest.MonkeyPatch, paused: list[float]
) -> None:
    now = [0.0]
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def answer(call: Came) -> AsyncIterator[Message]:
        now[0] += 50
        if call.number == 1:
            yield WatchOrderResponse(resume_token="1")
        await call.refuse(CODE.UNAVAILABLE, "DRAINING")

    script = Script(WatchOrder=answer)
    async with asyncio.timeout(20), asking(script) as client:
        told = list[str]()
        with pytest.raises(MarketplaceError) as refused:
            await keep(watch_order(client, "o", give_up_after=120), told)
    # 150 s after the message, and not after the 150 s since its beginning.
    assert (told, len(script.came["WatchOrder"]), refused.value.reason) == (["1"], 4, "DRAINING")


Opened = Callable[[MarketplaceClient], AsyncIterator[Any]]
FILTERS = WatchOrdersRequest(seller_ids=["s"], states=[order_pb2.ORDER_STATE_PAID])
WATCHES: list[tuple[str, type[Any], Opened, dict[str, Any], bool]] = [
    ("WatchCart", WatchCartResponse, lambda c: watch_cart(c, resume_token="0"), {}, False),
    ("WatchDeliveries", WatchDeliveriesResponse, lambda c: watch_deliveries(c, resume_token="0"), {}, False),
    (
        "WatchOrders",
        WatchOrdersResponse,
        lambda c: watch_orders(c, FILTERS, resume_token="0"),
        {"seller_ids": ["s"], "states": [order_pb2.ORDER_STATE_PAID]},
        False,
    ),
    ("WatchOrder", WatchOrderResponse, lambda c: watch_order(c, "o", resume_token="0"), {"order_id": "o"}, True),
    (
        "WatchDelivery",
        WatchDeliveryResponse,
        lambda c: watch_delivery(c, "d", resume_token="0", max_rate_hz=0.5),
        {"delivery_id": "d", "max_rate_hz": 0.5},
        True,
    ),
]


@pytest.mark.parametrize(("method", "kind", "begin", "asked", "ends"), WATCHES, ids=[each[0] for each in WATCHES])
async def test_each_stream_of_a_watch_asks_for_the_same_from_its_place_on_and_some_never_end(
    paused: list[float], method: str, kind: type[Any], begin: Opened, asked: dict[str, Any], *, ends: bool
) -> None:
    requests: list[Any] = []

    async def answer(call: Came) -> AsyncIterator[Message]:
        requests.append(await call.message())
        yield kind(resume_token=str(call.number))
        if call.number == 1:
            await call.refuse(*BROKEN)

    async with asking(Script(**{method: answer})) as client:
        told = []
        async with asyncio.timeout(20), aclosing(begin(client)) as stream:  # type: ignore[type-var]  # a generator
            async for message in stream:
                told.append(message.resume_token)
                if len(told) == 4:
                    break
    assert told == ["1", "2", *([] if ends else ["3", "4"])]
    wanted = [type(requests[0])(resume_token=token, **asked) for token in ("0", *told)]
    assert requests == wanted[: len(requests)]
    assert len(requests) == len(told)
    assert FILTERS.resume_token == ""
