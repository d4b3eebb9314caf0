"""The products of a search benchmark in a marketplace: made and published through the contract, by several shops."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import grpc
from marketplace.catalog.v1 import brand_pb2, catalog_service_pb2, catalog_service_pb2_grpc

from marketd.bench.search_files import SearchProduct
from marketd.bench.world import CALL_SECONDS, Account, World, bearer, gather, once_allowed

SHOPS = 4
_TASKS_A_SHOP = 4
_SAY_EVERY = 500
_STOCK = 10
_READY_SECONDS = 120.0

# A benchmark may look into the database, as a floor does: there is no rpc that says what is still to be indexed.
_INDEXED = "SELECT count(*) FROM search_documents"
_PENDING = "SELECT count(*) FROM search_pending"


async def load_products(
    world: World, target: str, products: Sequence[SearchProduct], currency: str, progress: Callable[[str], None]
) -> dict[str, str]:
    """Make and publish them all; the key of the file by the id of the marketplace. Raises grpc's errors."""
    brands = await _make_brands(world, products)
    owners = [(await world.open_shop(number))[0] for number in range(SHOPS)]
    made: dict[str, str] = {}

    async def fill(owner: Account, turns: Iterator[SearchProduct], skus: set[str]) -> None:
        # A channel each: one would carry all of them over one connection, to one worker.
        async with grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            catalog = catalog_service_pb2_grpc.CatalogServiceStub(channel)
            for product in turns:
                message = product.message(currency, brands.get(product.brand.casefold(), ""), _STOCK)
                if (sku := product.sku.casefold()) in skus:
                    # Several products of the file share an article number, which is unique in a shop.
                    message.variants[0].ClearField("sku")
                skus.add(sku)
                request = catalog_service_pb2.CreateProductRequest(product=message, request_id=str(uuid.uuid4()))
                create = partial(catalog.CreateProduct, request, metadata=bearer(owner), timeout=CALL_SECONDS)
                product_id = (await once_allowed(create)).product.product_id
                await catalog.PublishProduct(
                    catalog_service_pb2.PublishProductRequest(product_id=product_id),
                    metadata=bearer(owner),
                    timeout=CALL_SECONDS,
                )
                made[product_id] = product.key
                if len(made) % _SAY_EVERY == 0:
                    progress(f"making products: {len(made):,} of {len(products):,}")

    async with asyncio.TaskGroup() as tasks:
        for number, owner in enumerate(owners):
            turns, skus = iter(products[number::SHOPS]), set[str]()
            for _ in range(_TASKS_A_SHOP):
                tasks.create_task(fill(owner, turns, skus))
    await _until_indexed(world, len(products), progress)
    return made


async def _make_brands(world: World, products: Sequence[SearchProduct]) -> dict[str, str]:
    """The id of each brand by its name without regard to case."""
    admin = await world.admin()
    names = {product.brand.casefold(): product.brand for product in products if product.brand}

    async def make(name: str) -> tuple[str, str]:
        request = catalog_service_pb2.CreateBrandRequest(brand=brand_pb2.Brand(name=name))
        answer = await world.catalog.CreateBrand(request, metadata=bearer(admin), timeout=CALL_SECONDS)
        return name.casefold(), answer.brand.brand_id

    return dict(await gather(make, names.values()))


async def _until_indexed(world: World, count: int, progress: Callable[[str], None]) -> None:
    """Wait for what is indexed behind the writes; then the statistics that autovacuum would make within a minute."""
    progress("waiting for the index")
    end = asyncio.get_running_loop().time() + _READY_SECONDS
    while await world.read(_PENDING) or await world.read(_INDEXED) != count:
        if asyncio.get_running_loop().time() > end:
            raise RuntimeError(
                f"search knows {await world.read(_INDEXED)} of {count} products after {_READY_SECONDS:.0f} s"
            )
        await asyncio.sleep(0.2)
    await world.execute("ANALYZE")
