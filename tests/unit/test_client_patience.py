"""How long the typed client waits, how often it tries, and how much time it gives a call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from marketplace.auth.v1 import auth_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.media.v1 import media_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2
from marketplace_client import CourierUplink, MarketplaceClient, MarketplaceError, calls, watch_order
from marketplace_client.calls import pause_before

from tests.worlds.client_script import Answer, Came, Script, asking

PAUSE = 0.4
"""What the server asks for; more than the client pauses before its first try on its own."""
BUSY = grpc.StatusCode.UNAVAILABLE
PLACE = order_service_pb2.PlaceOrderRequest(quote_token="q")
Ask = Callable[[MarketplaceClient], Awaitable[Any]]


async def place(client: MarketplaceClient) -> None:
    """A call that is repeated with one request id."""
    await client.order.PlaceOrder(PLACE)


async def issue(client: MarketplaceClient) -> None:
    """A call that is repeated only when it was not begun."""
    await client.auth.IssueServiceToken(auth_service_pb2.IssueServiceTokenRequest())


async def follow(client: MarketplaceClient) -> None:
    """A watch."""
    assert [message.resume_token async for message in watch_order(client, "o")] == ["1"]


async def drive(client: MarketplaceClient) -> None:
    """An uplink with a position."""
    async with CourierUplink(client) as uplink:
        await uplink.send(52.5, 13.4, timestamp_pb2.Timestamp(seconds=1))
        await uplink.flush(20)


async def upload(client: MarketplaceClient, timeout: float | None = None) -> Any:
    """A picture."""

    async def messages() -> AsyncIterator[media_service_pb2.UploadImageRequest]:
        yield media_service_pb2.UploadImageRequest()

    return await client.media.UploadImage(messages(), timeout=timeout)


def once_busy(
    *answers: Message, reason: str = "OVERLOADED", code: grpc.StatusCode = BUSY
) -> tuple[Answer, list[float]]:
    """Refuses the first call and asks for a pause; and when it did."""
    refused: list[float] = []

    async def answer(call: Came) -> AsyncIterator[Message]:
        if call.number == 1:
            refused.append(time.monotonic())
            await call.refuse(code, reason, retry_after=PAUSE)
        for message in answers:
            yield message

    return answer, refused


def leaving() -> tuple[Answer, list[float]]:
    """An uplink's server that goes down and says when to come again."""
    refused: list[float] = []

    async def answer(call: Came) -> AsyncIterator[Message]:
        async for message in call.messages:
            if call.number == 1:
                refused.append(time.monotonic())
                yield tracking_service_pb2.StreamLocationsResponse(
                    drain=tracking_service_pb2.Drain(retry_after=Duration(nanos=round(PAUSE * 1e9)))
                )
                return
            seq = max((position.seq for position in message.batch.positions), default=0)
            yield tracking_service_pb2.StreamLocationsResponse(ack=position_pb2.Ack(acked_seq=seq))

    return answer, refused


def busy_uplink() -> tuple[Answer, list[float]]:
    """An uplink's server that refuses the first stream."""
    drains, refused = leaving()

    async def answer(call: Came) -> AsyncIterator[Message]:
        if call.number == 1:
            refused.append(time.monotonic())
            await call.refuse(BUSY, "DRAINING", retry_after=PAUSE)
        async for message in drains(call):
            yield message

    return answer, refused


WAITERS: list[tuple[str, Ask, Callable[[], tuple[Answer, list[float]]]]] = [
    ("PlaceOrder", place, lambda: once_busy(order_service_pb2.PlaceOrderResponse())),
    (
        "PlaceOrder",
        place,
        lambda: once_busy(
            order_service_pb2.PlaceOrderResponse(), reason="REQUEST_IN_PROGRESS", code=grpc.StatusCode.ABORTED
        ),
    ),
    ("IssueServiceToken", issue, lambda: once_busy(auth_service_pb2.IssueServiceTokenResponse())),
    (
        "WatchOrder",
        follow,
        lambda: once_busy(
            order_service_pb2.WatchOrderResponse(resume_token="1"),
            reason="RATE_LIMITED",
            code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        ),
    ),
    ("StreamLocations", drive, busy_uplink),
    ("StreamLocations", drive, leaving),
]


async def test_whatever_comes_again_comes_no_sooner_than_the_server_asked() -> None:
    async def one(method: str, ask: Ask, make: Callable[[], tuple[Answer, list[float]]]) -> None:
        answer, refused = make()
        script = Script(**{method: answer})
        async with asking(script) as client:
            await asyncio.wait_for(ask(client), 20)
        assert len(script.came[method]) == 2, method
        assert script.came[method][1].at - refused[0] >= PAUSE, (method, ask.__name__)

    await asyncio.gather(*(one(*waiter) for waiter in WAITERS))


async def test_a_server_that_stays_busy_is_asked_six_times_and_then_the_caller_hears_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "_FIRST_PAUSE_SECONDS", 0.001)

    async def answer(call: Came) -> AsyncIterator[Message]:
        await call.refuse(BUSY, "OVERLOADED")
        yield order_service_pb2.PlaceOrderResponse()

    script = Script(PlaceOrder=answer)
    async with asking(script) as client:
        with pytest.raises(MarketplaceError) as refused:
            await asyncio.wait_for(place(client), 20)
    assert (refused.value.reason, len(script.came["PlaceOrder"])) == ("OVERLOADED", 6)


def test_pauses_double_up_to_two_seconds_and_never_fall_below_what_the_server_asks() -> None:
    busy, asked = MarketplaceError(BUSY, ""), MarketplaceError(BUSY, "", retry_after=7.0)
    for attempt, longest in ((2, 0.1), (3, 0.2), (4, 0.4), (6, 1.6), (7, 2.0), (20, 2.0)):
        pauses = [pause_before(attempt, busy) for _ in range(50)]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest
        assert pause_before(attempt, asked) == 7.0


async def test_all_tries_of_a_call_share_its_deadline_and_none_is_begun_that_cannot_be_answered_in_it() -> None:
    async def answer(call: Came) -> AsyncIterator[Message]:
        if call.number < 3:
            await call.refuse(BUSY, "OVERLOADED", retry_after=0.5 if call.number == 1 else 60.0)
        yield order_service_pb2.PlaceOrderResponse()

    script = Script(PlaceOrder=answer)
    async with asking(script) as client:
        with pytest.raises(MarketplaceError) as refused:
            await asyncio.wait_for(client.order.PlaceOrder(PLACE, timeout=9.0), 20)
    # What the server says, not that time is up: the pause it asks for would outlast the call.
    assert (refused.value.reason, refused.value.retry_after) == ("OVERLOADED", 60.0)
    first, second = (came.left or 0.0 for came in script.came["PlaceOrder"])
    assert first - second > 0.2


async def test_every_kind_of_call_has_the_deadline_of_the_caller_or_else_its_own() -> None:
    """A little more than the server gives itself, so that its own answer arrives."""

    async def nothing(call: Came) -> AsyncIterator[Message]:
        answers = {
            "GetOrder": order_service_pb2.GetOrderResponse(),
            "WatchOrder": order_service_pb2.WatchOrderResponse(),
            "ExportProducts": catalog_service_pb2.ExportProductsResponse(),
            "UploadImage": media_service_pb2.UploadImageResponse(),
        }
        yield next(answers[name] for name, came in script.came.items() if came and came[-1] is call)

    asked: dict[str, tuple[float | None, Callable[[MarketplaceClient, float | None], Any]]] = {
        "GetOrder": (10.0, lambda c, t: c.order.GetOrder(order_service_pb2.GetOrderRequest(), timeout=t)),
        "UploadImage": (615.0, upload),
        "ExportProducts": (
            615.0,
            lambda c, t: read(c.catalog.ExportProducts(catalog_service_pb2.ExportProductsRequest(), timeout=t)),
        ),
        "WatchOrder": (None, lambda c, t: read(c.order.WatchOrder(order_service_pb2.WatchOrderRequest(), timeout=t))),
    }
    script = Script(**dict.fromkeys(asked, nothing))
    async with asking(script) as client:
        for method, (own, ask) in asked.items():
            await ask(client, None)
            await ask(client, 300.0)
            left = [came.left for came in script.came[method]]
            # The core rounds a deadline up to a tenth of a second on its way, or a hundredth of a long one.
            for seconds, wanted in zip(left, (own, 300.0), strict=True):
                assert (seconds is None or seconds > 1e9) if wanted is None else seconds == pytest.approx(wanted, abs=8)


async def read(stream: Any) -> None:
    """All of a stream."""
    async for _ in stream:
        pass


async def test_an_answer_of_nearly_four_mebibytes_arrives_and_says_nothing_of_the_session() -> None:
    async def answer(call: Came) -> AsyncIterator[Message]:
        yield catalog_service_pb2.ListProductsResponse(next_page_token="x" * (4 * 1024 * 1024 - 100))

    script = Script(ListProducts=answer)
    async with asking(script, user_agent="till/3") as client:
        page = await client.catalog.ListProducts(catalog_service_pb2.ListProductsRequest())
        assert len(page.next_page_token) == 4 * 1024 * 1024 - 100
        mine = [("x-request-id", "mine")]
        await client.catalog.ListProducts(catalog_service_pb2.ListProductsRequest(), metadata=mine)
    first, second = (came.metadata for came in script.came["ListProducts"])
    assert [value for key, value in second if key == "x-request-id"] == ["mine"]
    assert len([key for key, _ in first if key == "x-request-id"]) == 1
    assert dict(first)["user-agent"].startswith("till/3 ")


async def test_a_refusal_names_the_call_in_the_servers_log() -> None:
    async def answer(call: Came) -> AsyncIterator[Message]:
        await call.refuse(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", correlation_id="c-17")
        yield order_service_pb2.PlaceOrderResponse()

    async with asking(Script(PlaceOrder=answer)) as client:
        with pytest.raises(MarketplaceError) as refused:
            await place(client)
    assert refused.value.correlation_id == "c-17"
    assert refused.value.method == "/marketplace.order.v1.OrderService/PlaceOrder"
