"""Whole files over streams: products and pictures in and out, with the size and the hash that say that all came."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from marketplace.catalog.v1 import catalog_service_pb2, export_pb2, import_pb2
from marketplace.media.v1 import media_pb2, media_service_pb2

from marketplace_client.client import MarketplaceClient

CHUNK_BYTES = 64 * 1024


class FileNotWhole(Exception):
    """A file ended before all of it was there; nothing was kept of it."""


async def import_products(
    client: MarketplaceClient,
    file: Path | bytes,
    options: import_pb2.ImportOptions | None = None,
    *,
    request_id: str = "",
) -> AsyncIterator[catalog_service_pb2.ImportProductsResponse]:
    """Import a product file of Shopify or WooCommerce: how far it is, what was found in rows, and last the summary.

    `options` need no size and hash; the file's name is taken where they state none. With a `request_id` the same import
    may be asked for again and is done once. Raises MarketplaceError, and OSError for a file that cannot be read.
    """
    with await _opened(file) as content:
        stated = import_pb2.ImportOptions()
        if options is not None:
            stated.CopyFrom(options)
        if not stated.file_name and isinstance(file, Path):
            stated.file_name = file.name
        stated.sha256, stated.size = await asyncio.to_thread(_measured, content)
        content.seek(0)

        async def messages() -> AsyncIterator[catalog_service_pb2.ImportProductsRequest]:
            yield catalog_service_pb2.ImportProductsRequest(options=stated, request_id=request_id)
            while chunk := await asyncio.to_thread(content.read, CHUNK_BYTES):
                yield catalog_service_pb2.ImportProductsRequest(chunk=chunk)

        async for message in client.catalog.ImportProducts(messages()):
            yield message


async def upload_image(
    client: MarketplaceClient,
    file: Path | bytes,
    purpose: media_pb2.MediaPurpose.ValueType,
    *,
    file_name: str = "",
    request_id: str = "",
) -> media_pb2.Media:
    """Upload a picture; the media that it is from now on. A path's own name is taken where none is given.

    With a `request_id` the same upload may be asked for again and is done once. Raises MarketplaceError, and OSError
    for a file that cannot be read.
    """
    with await _opened(file) as content:
        info = media_service_pb2.UploadImageInfo(purpose=purpose, request_id=request_id)
        info.file_name = file_name or (file.name if isinstance(file, Path) else "")
        info.sha256, info.size = await asyncio.to_thread(_measured, content)
        content.seek(0)

        async def messages() -> AsyncIterator[media_service_pb2.UploadImageRequest]:
            yield media_service_pb2.UploadImageRequest(info=info)
            while chunk := await asyncio.to_thread(content.read, CHUNK_BYTES):
                yield media_service_pb2.UploadImageRequest(chunk=chunk)

        return (await client.media.UploadImage(messages())).media


async def download_media(client: MarketplaceClient, media_id: str, rendition: str = "full") -> bytes:
    """The bytes of one size of a picture. Raises MarketplaceError, and FileNotWhole when fewer come than there are."""
    info, parts = media_service_pb2.DownloadInfo(), []
    asked = media_service_pb2.DownloadMediaRequest(media_id=media_id, rendition=rendition)
    async for message in client.media.DownloadMedia(asked):
        for extension in message.extensions:
            extension.Unpack(info)
        parts.append(message.data)
    content = b"".join(parts)
    if len(content) != info.length:
        raise FileNotWhole(f"{len(content)} bytes came of the {info.length} that the server says there are")
    return content


async def _opened(file: Path | bytes) -> BinaryIO:
    return io.BytesIO(file) if isinstance(file, bytes) else await asyncio.to_thread(file.open, "rb")


def _measured(content: BinaryIO) -> tuple[str, int]:
    """The hash and the size of what is in it."""
    digest, size = hashlib.sha256(), 0
    while piece := content.read(CHUNK_BYTES):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


async def export_products(
    client: MarketplaceClient,
    file: Path | BinaryIO,
    request: catalog_service_pb2.ExportProductsRequest | None = None,
) -> export_pb2.ExportSummary:
    """Write a shop's products as a Shopify CSV; without a request, all of the caller's own. Gives what the file holds.

    A path gets the file once all of it is there and as the server says it is; what is at it before stays till then.
    Raises MarketplaceError, FileNotWhole, and OSError for a file that cannot be written.
    """
    asked = request or catalog_service_pb2.ExportProductsRequest()
    if not isinstance(file, Path):
        return await _write(client, file, asked)
    part = file.with_name(f".{file.name}.part")
    try:
        with await asyncio.to_thread(part.open, "wb") as content:
            summary = await _write(client, content, asked)
        part.replace(file)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    return summary


async def _write(
    client: MarketplaceClient, content: BinaryIO, request: catalog_service_pb2.ExportProductsRequest
) -> export_pb2.ExportSummary:
    digest, size = hashlib.sha256(), 0
    async for message in client.catalog.ExportProducts(request):
        if message.chunk:
            await asyncio.to_thread(content.write, message.chunk)
            digest.update(message.chunk)
            size += len(message.chunk)
        elif message.HasField("summary"):
            if (size, digest.hexdigest()) != (message.summary.size, message.summary.sha256):
                raise FileNotWhole(f"{size} bytes came of the {message.summary.size} that the server says there are")
            return message.summary
    raise FileNotWhole("the server ended the file without saying what it holds")
