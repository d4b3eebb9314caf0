"""What the server tells about itself is what it does: its limits are tried out, those that gRPC enforces too."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import grpc
import marketd
import pytest
from google.protobuf.message import Message
from marketd import app as composition
from marketd.kernel.call.pages import MAX_PAGE_SIZE
from marketd.kernel.call.refusals import ValidationFailed
from marketd.transport.validation import Validation
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.server.v1 import server_service_pb2
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2
from marketplace_client import MarketplaceClient

from tests.worlds.matrix import Market
from tests.worlds.observed import RULES
from tests.worlds.things import new_key

pytestmark = pytest.mark.asyncio(loop_scope="session")
GET_PRODUCT = "/marketplace.catalog.v1.CatalogService/GetProduct"
INLINE = "/marketplace.catalog.v1.CatalogService/ImportProductsInline"


async def told(market: Market) -> server_service_pb2.ServerInfo:
    """What the server says, asked by the typed client and without a token."""
    async with MarketplaceClient(f"127.0.0.1:{market.app.port}") as client:
        answer = await client.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())
    return answer.server_info


async def test_it_names_its_version_its_contract_and_its_currency(market: Market) -> None:
    info = await told(market)
    assert info.version == marketd.__version__
    written = composition.descriptor_set().SerializeToString(deterministic=True)
    assert info.contract_digest == hashlib.sha256(written).hexdigest()
    assert (info.currency_code, info.currency_digits) == (market.settings.currency, 2)
    assert not info.demo, "nobody has started it with demo data"


async def test_every_limit_is_told(market: Market) -> None:
    limits = (await told(market)).limits
    missing = [field.name for field in limits.DESCRIPTOR.fields if not getattr(limits, field.name)]
    assert missing == []
    assert limits.max_page_size == MAX_PAGE_SIZE
    assert limits.max_account_streams == market.settings.max_streams_of_account
    assert limits.max_address_streams == market.settings.max_streams_of_address
    assert limits.max_address_calls == market.settings.max_calls_of_address
    assert limits.request_id_duration.ToTimedelta() == market.settings.request_id_lifetime >= timedelta(hours=24)
    assert limits.resume_duration.ToTimedelta() >= timedelta(hours=24)


async def test_messages_are_as_long_as_it_says(market: Market) -> None:
    limits = (await told(market)).limits
    for bytes_more, code, reason in (
        (limits.max_request_bytes, grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED"),
        (limits.max_message_bytes, grpc.StatusCode.RESOURCE_EXHAUSTED, ""),  # in gRPC's own words
    ):
        outcome = await market.send(GET_PRODUCT, b"\0" * (bytes_more + 1))
        assert (outcome.code, outcome.reason) == (code, reason)
        assert "larger" in outcome.text
    inline = catalog_service_pb2.ImportProductsInlineRequest(csv=b"x" * limits.max_request_bytes)
    outcome = await market.send(INLINE, inline, by=market.shop.owner)
    assert "larger" not in outcome.text, outcome


async def test_metadata_is_as_long_as_it_says(market: Market) -> None:
    limits = (await told(market)).limits
    for size, code in (
        (limits.max_metadata_bytes // 2, "NOT_FOUND"),
        (limits.max_metadata_bytes, "RESOURCE_EXHAUSTED"),
    ):
        request = catalog_service_pb2.GetProductRequest(product_id=new_key())
        outcome = await market.send(GET_PRODUCT, request, metadata=[("x-long", "x" * size)])
        assert outcome.code is grpc.StatusCode[code]


async def test_only_the_compressions_that_it_names_are_taken(market: Market) -> None:
    limits = (await told(market)).limits
    assert list(limits.encodings) == ["identity"]
    request = catalog_service_pb2.GetProductRequest(product_id=new_key()).SerializeToString()
    ask: Any = market.wire.channel.unary_unary(GET_PRODUCT)
    for compression, code in (
        (grpc.Compression.NoCompression, grpc.StatusCode.NOT_FOUND),
        (grpc.Compression.Gzip, grpc.StatusCode.UNIMPLEMENTED),
        (grpc.Compression.Deflate, grpc.StatusCode.UNIMPLEMENTED),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(request, compression=compression)
        assert caught.value.code() is code


async def test_batches_hold_as_many_positions_as_it_says(market: Market) -> None:
    limits = (await told(market)).limits

    def batch(count: int) -> position_pb2.PositionBatch:
        return position_pb2.PositionBatch(positions=[position_pb2.Position(seq=1)] * count)

    def stream(count: int) -> Message:
        return tracking_service_pb2.StreamLocationsRequest(batch=batch(count))

    def report(count: int) -> Message:
        return tracking_service_pb2.ReportLocationsRequest(uplink_id=new_key(), batch=batch(count))

    for method, make, most in (
        ("StreamLocations", stream, limits.max_stream_positions),
        ("ReportLocations", report, limits.max_report_positions),
    ):
        parse = Validation().parser(RULES[f"/marketplace.tracking.v1.TrackingService/{method}"])
        parse(make(most).SerializeToString())
        with pytest.raises(ValidationFailed):
            parse(make(most + 1).SerializeToString())
