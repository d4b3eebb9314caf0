"""Imports over the wire: streamed files, uploads that are not whole, callers that leave, small files in one call."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from marketd.catalog.errors import ImportFileInvalid, UploadCorrupt, UploadOutOfOrder, UploadTooLarge
from marketd.catalog.imports.repository import lock_seller
from marketd.catalog.servicer import MAX_IMPORT_BYTES
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.call.refusals import RequestIdReused
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import import_pb2

from tests.worlds.catalog_files import CONTEXT, Shop, cup, file, outcome


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()


def _upload(
    data: bytes, *, size: int | None = None, sha256: str = "", request_id: str = "", **options: Any
) -> list[pb.ImportProductsRequest]:
    described = import_pb2.ImportOptions(
        size=len(data) if size is None else size, sha256=sha256 or hashlib.sha256(data).hexdigest(), **options
    )
    chunks = [pb.ImportProductsRequest(chunk=data[start : start + 1000]) for start in range(0, len(data), 1000)]
    return [pb.ImportProductsRequest(request_id=request_id, options=described), *chunks]


async def _stream(shop: Shop, messages: list[pb.ImportProductsRequest]) -> tuple[list[Any], Call]:
    call = shop.enter()

    async def requests() -> AsyncIterator[pb.ImportProductsRequest]:
        for message in messages:
            yield message

    answers: list[Any] = []
    async for answer in shop.catalog.ImportProducts(requests(), CONTEXT):
        message: Any = answer
        answers.append(pb.ImportProductsResponse.FromString(message) if isinstance(message, bytes) else message)
    return answers, call


async def test_a_streamed_file_comes_in_and_ends_with_its_summary(shop: Shop) -> None:
    data = file(*(cup(Handle=f"p{number}") for number in range(60)), cup(Handle="bad", VariantPrice="x"))
    answers, _ = await _stream(shop, _upload(data))
    kinds = [answer.WhichOneof("event") for answer in answers]
    assert kinds[-1] == "summary"
    assert kinds.count("row_error") == 1
    assert answers[-1].summary.products_created == 60
    assert answers[-2].progress.bytes_received == len(data)
    error = next(answer.row_error for answer in answers if answer.WhichOneof("event") == "row_error")
    assert (error.row, error.column, error.reason) == (62, "Variant Price", import_pb2.IMPORT_ROW_REASON_INVALID_VALUE)


async def test_an_upload_that_is_not_whole_changes_nothing(shop: Shop) -> None:
    data = file(*(cup(Handle=f"p{number}") for number in range(60)))
    whole = _upload(data)
    before = await shop.rows()
    for cut in range(1, len(whole)):
        with pytest.raises(UploadCorrupt):
            await _stream(shop, whole[:cut])
    for messages, refusal in (
        ([*whole, pb.ImportProductsRequest(chunk=b"x")], UploadCorrupt),
        (_upload(data, sha256="0" * 64), UploadCorrupt),
        (_upload(data, size=len(data) - 1), UploadCorrupt),
        (_upload(data, size=MAX_IMPORT_BYTES + 1), UploadTooLarge),
        (whole[1:], UploadOutOfOrder),
        ([whole[0], whole[0]], UploadOutOfOrder),
        ([], UploadOutOfOrder),
        (_upload(b""), ImportFileInvalid),
    ):
        with pytest.raises(refusal):
            await _stream(shop, messages)
    assert await shop.rows() == before
    assert shop.changes == []


async def test_a_repeat_of_a_streamed_import_gets_the_first_summary_at_once(shop: Shop) -> None:
    request_id = str(uuid4())
    rows = (cup(VariantInventoryQty="-1"), cup(Handle="pot", VariantPrice="?"), cup(Handle="can"))
    messages = _upload(file(*rows), request_id=request_id)
    first, _ = await _stream(shop, messages)
    again, call = await _stream(shop, messages[:1])
    assert again == [message for message in first if not message.HasField("progress")]
    assert [message.WhichOneof("event") for message in again] == ["row_error", "row_warning", "summary"]
    assert again[-1].summary.products_created == 2
    assert call.replayed
    with pytest.raises(RequestIdReused):
        await _stream(shop, _upload(file(cup(), cup(Handle="mug")), request_id=request_id))


async def test_a_caller_that_leaves_a_stream_leaves_nothing_half_done(shop: Shop) -> None:
    data = file(*(cup(Handle=f"p{number}") for number in range(150)))
    shop.enter()

    async def requests() -> AsyncIterator[pb.ImportProductsRequest]:
        for message in _upload(data):
            yield message

    answers = shop.catalog.ImportProducts(requests(), CONTEXT)
    async for answer in answers:
        if answer.progress.products_done:
            break
    await answers.aclose()  # type: ignore[attr-defined] # it is an async generator
    await shop.tx.drain()
    count = await shop.tx.read(lambda unit: unit.connection.fetchval("SELECT count(*) FROM products"))
    assert count in (50, 100)
    report = await shop.bring(data)
    assert outcome(report) == (150 - count, 0, count, 0)


async def test_two_files_are_worked_on_at_once_and_a_third_waits_and_is_told_so(shop: Shop, tx: Transactor) -> None:
    shops = [shop, await Shop(tx).open(), await Shop(tx).open()]
    held, go = asyncio.Event(), asyncio.Event()
    answers: list[list[pb.ImportProductsResponse]] = [[], [], []]
    looked_at = [asyncio.Event() for _ in shops]

    async def hold(uow: UnitOfWork) -> None:
        for each in shops[:2]:
            await lock_seller(uow.connection, each.seller_id)
        held.set()
        await go.wait()

    async def bring(number: int) -> None:
        calls.enter(Call(caller=shops[number].owner, deadline=time.monotonic() + 60))

        async def requests() -> AsyncIterator[pb.ImportProductsRequest]:
            for message in _upload(file(cup())):
                yield message

        async for answer in shop.catalog.ImportProducts(requests(), CONTEXT):
            answers[number].append(answer)
            if answer.progress.rows_total or len(answers[number]) == 3:
                looked_at[number].set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(tx.run("test.hold", hold, seconds=60))
        await held.wait()
        for number in range(2):
            group.create_task(bring(number))
            await looked_at[number].wait()
        group.create_task(bring(2))
        await looked_at[2].wait()
        assert [answer.progress.rows_total for answer in answers[2]] == [0, 0, 0]
        go.set()
    assert [told[-1].summary.products_created for told in answers] == [1, 1, 1]


async def test_a_small_file_comes_in_one_call_and_only_once(shop: Shop) -> None:
    request = pb.ImportProductsInlineRequest(
        request_id=str(uuid4()), csv=file(cup(), cup(Handle="mug", VariantPrice="x"))
    )
    once = OnceKey(shop.owner.key, "ImportProductsInline", request.request_id, b"same")
    shop.enter(once)
    first: Any = await shop.catalog.ImportProductsInline(request, CONTEXT)
    call = shop.enter(once)
    assert await shop.catalog.ImportProductsInline(request, CONTEXT) == first
    assert call.replayed
    assert isinstance(first, bytes)
    answer = pb.ImportProductsInlineResponse.FromString(first)
    assert (answer.summary.products_created, answer.summary.products_rejected) == (1, 1)
    assert [error.handle for error in answer.row_errors] == ["mug"]
    shop.enter()
    for options in (import_pb2.ImportOptions(size=1), import_pb2.ImportOptions(sha256="0" * 64)):
        with pytest.raises(UploadCorrupt):
            await shop.catalog.ImportProductsInline(
                pb.ImportProductsInlineRequest(csv=request.csv, options=options), CONTEXT
            )
