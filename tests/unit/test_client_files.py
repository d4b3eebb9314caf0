"""Files over streams: what the client sends of one, and when it keeps one."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import export_pb2, import_pb2
from marketplace_client import FileNotWhole, export_products, import_products

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
