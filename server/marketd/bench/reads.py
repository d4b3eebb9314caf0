"""The reads of the catalog: hot, when the answer is kept as bytes, and cold, when it comes from the database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from marketplace.catalog.v1 import catalog_service_pb2, search_pb2

from marketd.bench import h2load, statements
from marketd.bench.h2load import SameCall
from marketd.bench.operations import CONNECTIONS, IN_FLIGHT, Plain, Round, Side, Target, capture, path_on
from marketd.bench.plan import FloorMethod, Shape
from marketd.bench.work import Calls, Work
from marketd.bench.world import CALL_SECONDS, World

_SERVICE = "/marketplace.catalog.v1.CatalogService"
_H2LOAD_CALLS_A_SECOND = 4000
_INDEX_SECONDS = 60.0
# Words are counted within a second of their documents, and answers are kept as long.
_STEADY_SECONDS = 3.0


class HotRead(Plain):
    """One public read, again and again, by a signed-in buyer."""

    def __init__(self, name: str, method: str, target: Target) -> None:
        self.name = name
        self.target = target
        self._path = f"{_SERVICE}/{method}"
        self._request = b""
        self._token = ""
        self._length = 0

    def request(self, world: World) -> bytes:
        """The request; the same one each time."""
        if self._path.endswith("/ListProducts"):
            return catalog_service_pb2.ListProductsRequest(page_size=20).SerializeToString()
        if self._path.endswith("/SearchProducts"):
            return catalog_service_pb2.SearchProductsRequest(
                query="oak shelf", page_size=20, facets=[search_pb2.FACET_KIND_BRAND, search_pb2.FACET_KIND_PRICE]
            ).SerializeToString()
        return catalog_service_pb2.GetProductRequest(product_id=world.products[0].product_id).SerializeToString()

    async def prepare(self, world: World, size: Round) -> list[FloorMethod]:
        """Capture the answer."""
        await world.open_shops()
        (buyer,) = await world.buyers(1)
        self._request = self.request(world)
        if self._path.endswith("/SearchProducts"):
            await _until_indexed(world, self._request, len(world.products))
        self._floor = FloorMethod(self.name, Shape.UNARY, await capture(world, self._path, self._request, buyer))
        self._length = len(self._floor.answer)
        return [self._floor]

    async def begin(self, world: World) -> None:
        """A fresh token: the chain's whole way is measured."""
        (buyer,) = await world.buyers(1)
        self._token = buyer.access_token
        if self._path.endswith("/SearchProducts"):
            # What other operations have made and sold since is found and counted as well.
            await _until_indexed(world, self._request, 0)
            self._length = len(await capture(world, self._path, self._request, buyer))

    async def load(self, world: World, side: Side, size: Round, processes: int) -> Sequence[Work] | SameCall:
        """h2load where there is one, else the load processes."""
        path = path_on(side, self._path, self._floor)
        if h2load.is_installed():
            count = max(200, int(size.seconds * _H2LOAD_CALLS_A_SECOND))
            length = len(self._floor.answer) if side.is_floor else self._length
            return SameCall(side.target, path, self._token, self._request, length, count)
        same = [(self._token, self._request)]
        return [Calls(side.target, path, same, IN_FLIGHT, CONNECTIONS, size.seconds)] * processes


async def _until_indexed(world: World, request: bytes, least: int) -> None:
    """Wait until the search finds so many and its answer stays as it is: imports are indexed behind them."""
    search = catalog_service_pb2.SearchProductsRequest.FromString(request)
    end = asyncio.get_running_loop().time() + _INDEX_SECONDS
    before = None
    while True:
        answer = await world.catalog.SearchProducts(search, timeout=CALL_SECONDS)
        if answer == before and answer.total_size >= least:
            return
        if asyncio.get_running_loop().time() > end:
            raise RuntimeError(f"a search finds {answer.total_size} products after {_INDEX_SECONDS:.0f} s")
        before = answer
        await asyncio.sleep(_STEADY_SECONDS)


class ColdProduct(Plain):
    """GetProduct of one product after the other, on a server that keeps no answers."""

    name = "get_product_cold"
    target = Target(tuned=1.5)
    cold = True
    _path = f"{_SERVICE}/GetProduct"

    async def prepare(self, world: World, size: Round) -> list[FloorMethod]:
        """Capture one answer; all products are of one size."""
        await world.open_shops()
        (buyer,) = await world.buyers(1)
        ids = [product.product_id for product in world.products]
        self._requests = [catalog_service_pb2.GetProductRequest(product_id=id_).SerializeToString() for id_ in ids]
        self._floor = FloorMethod(
            self.name,
            Shape.UNARY,
            await capture(world, self._path, self._requests[0], buyer),
            statements=(statements.PRODUCT,),
            call_arguments=[[[id_]] for id_ in ids],
        )
        return [self._floor]

    async def begin(self, world: World) -> None:
        """A fresh token."""
        (buyer,) = await world.buyers(1)
        self._token = buyer.access_token

    async def load(self, world: World, side: Side, size: Round, processes: int) -> Sequence[Work]:
        """Every product in turn."""
        path = path_on(side, self._path, self._floor)
        turns = [(self._token, request) for request in self._requests]
        return [Calls(side.target, path, turns, IN_FLIGHT, CONNECTIONS, size.seconds)] * processes
