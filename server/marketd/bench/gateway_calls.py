"""The calls that are made both straight to a worker and through the gateway, in each form that they have."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2

from marketd.bench import h2load
from marketd.bench.carts import fill_carts
from marketd.bench.h2load import SameCall, framed
from marketd.bench.load_web import WebConnection
from marketd.bench.operations import CONNECTIONS, IN_FLIGHT, Round, split
from marketd.bench.work import Calls, WebCalls, Work
from marketd.bench.world import CALL_SECONDS, Account, World, bearer, gather

GRPC_WEB = "application/grpc-web+proto"
JSON = "application/json"
_BUYERS = 64
PACE = 400
"""Calls a second of the reads: one that the slowest way holds too. What a call costs a worker depends on how many come
at once, since it works them off together, so ways are compared at one pace."""
_PAUSE_SECONDS = 0.1
"""Between the calls of AddCartItem, for the same reason: longer than any way takes."""


class Way(StrEnum):
    """How a call reaches its worker."""

    DIRECT = "direct"
    GRPC = "grpc"
    WEB = "grpc-web"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Call:
    """One method. `requests`: (access token, message, JSON body) taken in turn; a JSON body may be empty."""

    name: str
    path: str
    verb: str
    rest_path: str
    requests: Sequence[tuple[str, bytes, bytes]]
    fills_carts: bool = False

    async def load(self, way: Way, server: str, gateway: str, size: Round, parts: int) -> Sequence[Work] | SameCall:
        """The load of one round: h2load for one and the same call, where there is one, else the load processes."""
        target = server if way is Way.DIRECT else gateway
        if len(self.requests) > 1 or not h2load.is_installed():
            return [self._part(way, target, part, size) for part in split([*self.requests] * parts, parts)]
        token, message, _ = self.requests[0]
        count = max(80, int(size.seconds * PACE))
        path = self.rest_path if way is Way.REST else self.path
        content_type = {Way.WEB: GRPC_WEB, Way.REST: ""}.get(way, h2load.GRPC)
        length = await self._body_bytes(way, gateway)
        # Trailers are in the body of gRPC-Web, and a request id gets longer as they are counted.
        slack = 16 if way is Way.WEB else 0
        return SameCall(target, path, token, message, 0, count, content_type, length, slack, PACE)

    def _part(self, way: Way, target: str, part: Sequence[tuple[str, bytes, bytes]], size: Round) -> Work:
        if way in (Way.DIRECT, Way.GRPC):
            messages = [(token, message) for token, message, _ in part]
            return Calls(target, self.path, messages, IN_FLIGHT, CONNECTIONS, size.seconds, _PAUSE_SECONDS)
        if way is Way.WEB:
            bodies = [(token, framed(message)) for token, message, _ in part]
            return WebCalls(target, "POST", self.path, GRPC_WEB, bodies, IN_FLIGHT, size.seconds, _PAUSE_SECONDS)
        bodies = [(token, body) for token, _, body in part]
        content_type = JSON if bodies[0][1] else ""
        return WebCalls(
            target, self.verb, self.rest_path, content_type, bodies, IN_FLIGHT, size.seconds, _PAUSE_SECONDS
        )

    async def _body_bytes(self, way: Way, gateway: str) -> int:
        """How long the body of an answer is."""
        token, message, body = self.requests[0]
        connection = await WebConnection.open(gateway)
        try:
            if way is Way.REST:
                return len(await connection.call(self.verb, self.rest_path, "", token, body))
            answer = await connection.call("POST", self.path, GRPC_WEB, token, framed(message))
        finally:
            connection.close()
        # As gRPC it ends with its message; as gRPC-Web a frame of trailers follows.
        return len(answer) if way is Way.WEB else len(framed(b"")) + int.from_bytes(answer[1:5], "big")


async def calls(world: World) -> AsyncIterator[Call]:
    """GetProduct and ListProducts, whose answers are kept as bytes, and AddCartItem into many carts.

    Each is made when it is asked for: its tokens are fresh then.
    """
    await world.open_shops()
    catalog, product_id = "/marketplace.catalog.v1.CatalogService", world.products[0].product_id
    get = catalog_service_pb2.GetProductRequest(product_id=product_id).SerializeToString()
    page = catalog_service_pb2.ListProductsRequest(page_size=20).SerializeToString()
    for name, rest_path, request in (
        ("GetProduct", f"/v1/products/{product_id}", get),
        ("ListProducts", "/v1/products?pageSize=20", page),
    ):
        (buyer,) = await world.buyers(1)
        yield Call(f"{name} hot", f"{catalog}/{name}", "GET", rest_path, [(buyer.access_token, request, b"")])
    buyers = await world.buyers(_BUYERS)
    # By line and then by buyer, so that calls in flight are of different carts.
    additions = [_addition(buyer, world.lines(index)[line]) for line in range(3) for index, buyer in enumerate(buyers)]
    path = "/marketplace.cart.v1.CartService/AddCartItem"
    yield Call("AddCartItem", path, "POST", "/v1/cart/items", additions, fills_carts=True)


async def begin_carts(world: World) -> None:
    """The carts of `calls` as they are at first: a line holds at most 999 pieces."""
    buyers = await world.buyers(_BUYERS)

    async def clear(buyer: Account) -> None:
        request = cart_service_pb2.ClearCartRequest()
        await world.cart.ClearCart(request, metadata=bearer(buyer), timeout=CALL_SECONDS)

    await gather(clear, buyers)
    await fill_carts(world, buyers)


def _addition(buyer: Account, variant_id: str) -> tuple[str, bytes, bytes]:
    request = cart_service_pb2.AddCartItemRequest(variant_id=variant_id, quantity=1).SerializeToString()
    return buyer.access_token, request, json.dumps({"variantId": variant_id, "quantity": 1}).encode()
