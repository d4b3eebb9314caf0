"""Files over streams: what the client sends of one, and when it keeps one."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.any_pb2 import Any as AnyMessage
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import export_pb2, import_pb2
from marketplace.media.v1 import media_pb2
from marketplace.media.v1 import media_service_pb2 as media
from marketplace.media.v1.media_service_pb2_grpc import MediaServiceServicer, add_MediaServiceServicer_to_server
from marketplace_client import (
    FileNotWhole,
    MarketplaceClient,
    MarketplaceError,
    download_media,
    export_products,
    import_products,
    upload_image,
)

DATA = b"Handle,Title\n" + b"x" * 70_000


def client(**methods: Any) -> Any:
    """A client whose catalog has these methods."""
    return SimpleNamespace(catalog=SimpleNamespace(**methods))


def export_of(*pieces: bytes, sha256: str = hashlib.sha256(DATA).hexdigest(), is_cut: bool = False) -> Any:
    """A client whose server gives these pieces of DATA."""

    async def answer(_request: pb.ExportProductsRequest) -> AsyncIterator[pb.ExportProductsResponse]:
        yield pb.ExportProductsResponse(header=export_pb2.ExportHeader(file_name="p.csv"))
        for piece in pieces:
            yield pb.ExportProductsResponse(chunk=piece)
        if not is_cut:
            yield pb.ExportProductsResponse(summary=export_pb2.ExportSummary(size=len(DATA), sha256=sha256, rows=7))

    return client(ExportProducts=answer)


@pytest.mark.parametrize("from_disk", [True, False])
async def test_an_import_states_what_it_sends(tmp_path: Path, from_disk: bool) -> None:
    seen: list[pb.ImportProductsRequest] = []

    async def answer(
        messages: AsyncIterator[pb.ImportProductsRequest],
    ) -> AsyncIterator[pb.ImportProductsResponse]:
        seen.extend([message async for message in messages])
        yield pb.ImportProductsResponse(summary=import_pb2.ImportSummary(rows=7))

    path = tmp_path / "shop.csv"
    path.write_bytes(DATA)
    options = import_pb2.ImportOptions(dry_run=True)
    told = import_products(client(ImportProducts=answer), path if from_disk else DATA, options, request_id="r")
    assert [message.summary.rows async for message in told] == [7]
    first, *chunks = seen
    assert (first.request_id, first.options.dry_run, first.options.size) == ("r", True, len(DATA))
    assert first.options.sha256 == hashlib.sha256(DATA).hexdigest()
    assert first.options.file_name == ("shop.csv" if from_disk else "")
    assert b"".join(message.chunk for message in chunks) == DATA
    assert max(len(message.chunk) for message in chunks) == 65_536
    assert options == import_pb2.ImportOptions(dry_run=True)


async def test_an_export_is_written_once_it_is_whole(tmp_path: Path) -> None:
    path, kept = tmp_path / "shop.csv", io.BytesIO()
    assert (await export_products(export_of(DATA[:9], DATA[9:]), path)).rows == 7
    await export_products(export_of(DATA), kept)
    assert path.read_bytes() == kept.getvalue() == DATA
    for broken in (export_of(DATA, sha256="0" * 64), export_of(DATA[:9]), export_of(DATA, is_cut=True)):
        with pytest.raises(FileNotWhole):
            await export_products(broken, path)
    assert [each.name for each in tmp_path.iterdir()] == ["shop.csv"]
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("from_disk", [True, False])
async def test_a_picture_is_sent_with_its_size_and_hash(tmp_path: Path, from_disk: bool) -> None:
    seen: list[media.UploadImageRequest] = []

    async def answer(messages: AsyncIterator[media.UploadImageRequest]) -> media.UploadImageResponse:
        seen.extend([message async for message in messages])
        return media.UploadImageResponse(media=media_pb2.Media(media_id="m"))

    path = tmp_path / "cup.png"
    path.write_bytes(DATA)
    server: Any = SimpleNamespace(media=SimpleNamespace(UploadImage=answer))
    purpose = media_pb2.MEDIA_PURPOSE_SHOP
    sent = await upload_image(server, path if from_disk else DATA, purpose, request_id="r")
    assert sent.media_id == "m"
    info = seen[0].info
    assert (info.purpose, info.size, info.request_id) == (purpose, len(DATA), "r")
    assert (info.sha256, info.file_name) == (hashlib.sha256(DATA).hexdigest(), "cup.png" if from_disk else "")
    assert b"".join(message.chunk for message in seen[1:]) == DATA
    assert max(len(message.chunk) for message in seen) == 65_536


async def test_a_picture_that_does_not_come_whole_is_none() -> None:
    info = AnyMessage()
    info.Pack(media.DownloadInfo(size=9, length=9))

    def server(*pieces: bytes) -> Any:
        async def answer(_request: media.DownloadMediaRequest) -> AsyncIterator[HttpBody]:
            yield HttpBody(extensions=[info], data=pieces[0])
            for piece in pieces[1:]:
                yield HttpBody(data=piece)

        return SimpleNamespace(media=SimpleNamespace(DownloadMedia=answer))

    assert await download_media(server(b"pict", b"ures!"), "m") == b"pictures!"
    with pytest.raises(FileNotWhole):
        await download_media(server(b"pict"), "m")


class Pictures(MediaServiceServicer):
    """Takes pictures of whoever has a token and of nobody else."""

    async def UploadImage(self, request_iterator: Any, context: Any) -> media.UploadImageResponse:  # noqa: N802
        size = sum([len(message.chunk) async for message in request_iterator])
        metadata = dict(context.invocation_metadata())
        if "x-request-id" not in metadata or context.time_remaining() > 700:
            await context.abort(grpc.StatusCode.INTERNAL, "no correlation id, or no deadline")
        if metadata.get("authorization") != "Bearer of mine":
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")
        return media.UploadImageResponse(media=media_pb2.Media(size=size))


async def test_a_picture_goes_out_with_token_and_deadline_and_refusals_are_readable() -> None:
    server = grpc.aio.server()
    add_MediaServiceServicer_to_server(Pictures(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    purpose = media_pb2.MEDIA_PURPOSE_PRODUCT
    try:
        async with MarketplaceClient(f"127.0.0.1:{port}", access_token="of mine") as client:
            assert (await upload_image(client, DATA, purpose)).size == len(DATA)
        async with MarketplaceClient(f"127.0.0.1:{port}", access_token="of others") as client:
            with pytest.raises(MarketplaceError, match="not you"):
                await upload_image(client, DATA, purpose)
    finally:
        await server.stop(None)
