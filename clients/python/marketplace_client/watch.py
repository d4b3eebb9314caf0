"""Watching carts, orders and deliveries over reconnects: a stream that breaks goes on after the last message."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol, TypeVar

import grpc
from marketplace.cart.v1 import cart_service_pb2
from marketplace.delivery.v1 import delivery_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.tracking.v1 import tracking_service_pb2

from marketplace_client.client import MarketplaceClient
from marketplace_client.errors import MarketplaceError

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
# Three missed heartbeats and some slack.
_SILENCE_SECONDS = 35.0
_RESUMABLE_CODES = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})


class _Told(Protocol):
    """A message of a watch."""

    @property
    def resume_token(self) -> str:
        """Where the stream stands after it."""


_M = TypeVar("_M", bound=_Told)
_C = TypeVar("_C", covariant=True)


def can_resume(client: MarketplaceClient, error: MarketplaceError) -> bool:
    """Whether a stream that ended so is worth opening again."""
    if error.reason == "TOKEN_EXPIRED":
        return client.can_refresh
    if error.was_dropped or error.reason in ("SLOW_CONSUMER", "RATE_LIMITED"):
        return True
    # A connection that is reset in the middle shows these codes, and no reason because the server wrote none.
    return error.code in _RESUMABLE_CODES and not error.from_server


def check_same(client: MarketplaceClient, owner: object) -> None:
    """Raises MarketplaceError when the client is another account's or guest's by now: what the owner began is not to go
    on as theirs.
    """
    if owner is not None and client.owner not in (None, owner):
        raise MarketplaceError(grpc.StatusCode.ABORTED, "somebody else is signed in by now; begin anew as them")


class _Call(Protocol[_C]):
    """A stream that can be told to end."""

    def __aiter__(self) -> AsyncIterator[_C]:
        """Its messages."""

    def cancel(self) -> bool:
        """End it at the server too."""


class _Silence(Exception):
    """No message came for longer than the server's heartbeats allow."""


async def _messages(call: _Call[_M]) -> AsyncGenerator[_M, None]:
    stream = aiter(call)
    try:
        while True:
            try:
                # Not wait_for: before Python 3.12 it loses a cancel that meets a message, and the watch goes on.
                async with asyncio.timeout(_SILENCE_SECONDS):
                    message = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise _Silence from None
            yield message
    finally:
        call.cancel()  # or the server keeps the stream, and counts it, until the channel closes


async def resuming(
    client: MarketplaceClient,
    open_stream: Callable[[str], _Call[_M]],
    *,
    resume_token: str,
    ends: bool,
    give_up_after: float | None,
) -> AsyncIterator[_M]:
    """The messages of a stream over its reconnects. `open_stream` gets the resume token of the last message.

    With `ends`, a stream that ends with OK is over; otherwise it is opened again. A refusal that opening again cannot
    mend is raised, and any when nothing has come for `give_up_after` seconds (None: never). It is not
    opened again as another account or guest than before: a plain MarketplaceError says so.
    """
    owner: object = None
    token, pause, last = resume_token, _FIRST_PAUSE_SECONDS, time.monotonic()
    while True:
        failure: MarketplaceError | None = None
        check_same(client, owner)
        owner = client.owner if owner is None else owner
        try:
            async with aclosing(_messages(open_stream(token))) as messages:
                async for message in messages:
                    token, pause, last = message.resume_token or token, _FIRST_PAUSE_SECONDS, time.monotonic()
                    yield message
            if ends:
                return
        except MarketplaceError as error:
            if not can_resume(client, error):
                raise
            failure = error
        except _Silence:
            failure = MarketplaceError(grpc.StatusCode.UNAVAILABLE, "the stream has fallen silent")
        if give_up_after is not None and failure is not None and time.monotonic() - last > give_up_after:
            raise failure
        wanted = failure.retry_after if failure is not None else None
        await asyncio.sleep(max(wanted or 0.0, pause * random.uniform(0.5, 1.0)))  # noqa: S311 - jitter, not a secret
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def watch_cart(
    client: MarketplaceClient, *, resume_token: str = "", give_up_after: float | None = None
) -> AsyncIterator[cart_service_pb2.WatchCartResponse]:
    """The client's cart, a buyer's or a guest's, after every change, over reconnects; it never ends by itself.

    Raises SignInRequired when a guest's cart is gone, which it is after a merge; where the guest has signed in on this
    client, a plain MarketplaceError: the cart is the account's then, and another watch shows it.
    """

    def open_stream(token: str) -> _Call[cart_service_pb2.WatchCartResponse]:
        return client.cart.WatchCart(cart_service_pb2.WatchCartRequest(resume_token=token))

    return resuming(client, open_stream, resume_token=resume_token, ends=False, give_up_after=give_up_after)


def watch_order(
    client: MarketplaceClient, order_id: str, *, resume_token: str = "", give_up_after: float | None = None
) -> AsyncIterator[order_service_pb2.WatchOrderResponse]:
    """Every change of an order, in order and without gaps, over reconnects; ends when its state can change no more."""

    def open_stream(token: str) -> _Call[order_service_pb2.WatchOrderResponse]:
        request = order_service_pb2.WatchOrderRequest(order_id=order_id, resume_token=token)
        return client.order.WatchOrder(request)

    return resuming(client, open_stream, resume_token=resume_token, ends=True, give_up_after=give_up_after)


def watch_orders(
    client: MarketplaceClient,
    filters: order_service_pb2.WatchOrdersRequest | None = None,
    *,
    resume_token: str = "",
    give_up_after: float | None = None,
) -> AsyncIterator[order_service_pb2.WatchOrdersResponse]:
    """The caller's orders and every change of each, in order and without gaps, over reconnects; it has no end."""

    def open_stream(token: str) -> _Call[order_service_pb2.WatchOrdersResponse]:
        request = order_service_pb2.WatchOrdersRequest()
        if filters is not None:
            request.CopyFrom(filters)
        request.resume_token = token
        return client.order.WatchOrders(request)

    return resuming(client, open_stream, resume_token=resume_token, ends=False, give_up_after=give_up_after)


def watch_delivery(
    client: MarketplaceClient,
    delivery_id: str,
    *,
    resume_token: str = "",
    max_rate_hz: float = 0.0,
    give_up_after: float | None = None,
) -> AsyncIterator[tracking_service_pb2.WatchDeliveryResponse]:
    """Positions, estimates, stops and states of a delivery over reconnects; ends when the delivery is closed."""

    def open_stream(token: str) -> _Call[tracking_service_pb2.WatchDeliveryResponse]:
        request = tracking_service_pb2.WatchDeliveryRequest(
            delivery_id=delivery_id, resume_token=token, max_rate_hz=max_rate_hz
        )
        return client.tracking.WatchDelivery(request)

    return resuming(client, open_stream, resume_token=resume_token, ends=True, give_up_after=give_up_after)


def watch_deliveries(
    client: MarketplaceClient, *, resume_token: str = "", give_up_after: float | None = None
) -> AsyncIterator[delivery_service_pb2.WatchDeliveriesResponse]:
    """What the signed-in courier has to bring, over reconnects; it never ends by itself."""

    def open_stream(token: str) -> _Call[delivery_service_pb2.WatchDeliveriesResponse]:
        return client.delivery.WatchDeliveries(delivery_service_pb2.WatchDeliveriesRequest(resume_token=token))

    return resuming(client, open_stream, resume_token=resume_token, ends=False, give_up_after=give_up_after)
