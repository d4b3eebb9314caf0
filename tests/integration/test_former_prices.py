"""A former price is above the price, wherever it comes from: a request, a file, or the hand of an operator."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg
import pytest
from google.type.money_pb2 import Money
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.refusals import ValidationFailed
from marketd.kernel.db.transactor import Transactor
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import product_pb2

from tests.worlds.catalog_files import CONTEXT, Shop, file, size


def euros(cents: int) -> Money:
    return Money(currency_code="EUR", units=cents // 100, nanos=cents % 100 * 10_000_000)


def sized(value: str, price: int, former: int) -> product_pb2.Variant:
    return product_pb2.Variant(
        price=euros(price), compare_at_price=euros(former), initial_quantity=1, options={"Size": value}
    )


async def make(shop: Shop, *variants: product_pb2.Variant) -> product_pb2.Product:
    calls.enter(Call(caller=shop.owner))
    product = product_pb2.Product(title="Mug", variants=variants)
    request = pb.CreateProductRequest(product=product, request_id=str(uuid4()))
    return (await shop.catalog.CreateProduct(request, CONTEXT)).product


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()


@pytest.mark.parametrize("former", [0, 499, 500])
async def test_a_request_with_another_one_is_refused_at_its_path(shop: Shop, former: int) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await make(shop, sized("S", 500, 501), sized("L", 500, former))
    (violation,) = refused.value.fields
    assert violation.field == "product.variants[1].compare_at_price"
    assert "5.00 EUR" in violation.description


@pytest.mark.parametrize("table", ["variants", "products"])
async def test_the_database_takes_no_other_one(shop: Shop, table: str) -> None:
    made = await make(shop, sized("S", 500, 600))
    statement = f"UPDATE {table} SET price_minor = 600 WHERE product_id = $1"
    with pytest.raises(asyncpg.CheckViolationError):
        await shop.tx.run("test.price", lambda uow: uow.connection.execute(statement, UUID(made.product_id)))


async def test_in_a_file_another_one_is_left_out_with_a_warning(shop: Shop) -> None:
    data = file(
        size("S", VariantPrice="4.50", VariantCompareAtPrice="4.50"),
        size("M", VariantPrice="4.50", VariantCompareAtPrice="9.00"),
        size("L", VariantPrice="4.50", VariantCompareAtPrice="0"),
        size("XL", VariantPrice="4.50", VariantCompareAtPrice="cheap"),
    )
    report = await shop.bring(data)
    assert report.errors == ()
    assert (report.summary.products_created, report.summary.rows_rejected) == (1, 0)
    assert [(each.row, each.column, each.handle) for each in report.warnings] == [
        (2, "Variant Compare At Price", "cup"),
        (4, "Variant Compare At Price", "cup"),
        (5, "Variant Compare At Price", "cup"),
    ]
    assert "'4.50' is not above the price" in report.warnings[0].message
    shown = [each.compare_at_price.units for each in (await shop.product("cup")).variants]
    assert shown == [0, 9, 0, 0]
