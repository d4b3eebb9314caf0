"""Whole files over streams: a shop's products in and out, with the size and the hash that say that all of it came."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from marketplace.catalog.v1 import catalog_service_pb2, export_pb2, import_pb2

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
    content: BinaryIO
    if isinstance(file, bytes):
        content = io.BytesIO(file)
    else:
        content = await asyncio.to_thread(file.open, "rb")
    with content:
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
