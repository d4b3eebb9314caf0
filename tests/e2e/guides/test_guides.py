"""Every snippet of the pages on REST, grpcurl and gRPC-Web does what the page says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from marketd.app import SERVICES
from marketd.transport.access import AccessTable
from marketd.transport.rules import Kind

from tests.worlds.foreign import ROOT, fetched, installed
from tests.worlds.guide import GUIDES, Reader, blocks
from tests.worlds.workers import Worker

if TYPE_CHECKING:
    from tests.e2e.guides.conftest import Story

REST, GRPCURL, WEB = GUIDES
XHR = ROOT / "tests" / "node" / "xhr.mjs"
RULES = [rule for rule in AccessTable.from_names(SERVICES) if rule.method.startswith("/marketplace.")]


@pytest.fixture
def reader(story: Story, workers: tuple[Worker, Worker], tmp_path: Path) -> Reader:
    """Somebody with a checkout, and the servers of the tests."""
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    return Reader(tmp_path, {**story.here, "127.0.0.1:50051": f"127.0.0.1:{workers[0].app.port}"})


@pytest.mark.asyncio(loop_scope="session")
async def test_the_page_on_rest(reader: Reader) -> None:
    installed("curl")
    await reader.paste(blocks(REST))


@pytest.mark.asyncio(loop_scope="session")
async def test_the_page_on_grpcurl(reader: Reader) -> None:
    fetched("grpcurl")
    await reader.paste(blocks(GRPCURL))


@pytest.mark.faults  # stubs for another language, and three starts of Node
@pytest.mark.asyncio(loop_scope="session")
async def test_the_page_on_grpc_web(reader: Reader) -> None:
    fetched("node")
    (reader.folder / "node_modules").symlink_to(fetched("hello").resolve())
    found = blocks(WEB)
    for block in found:
        if block.kind in ("js", "yaml"):
            reader.put(block)
    await reader.paste([block for block in found if block.kind == "sh"])
    for block in found:
        if block.kind == "js" and block.answer is not None:
            await reader.play(block, "--import", str(XHR))


def test_every_block_is_of_a_kind_that_is_run() -> None:
    kinds = {page.name: {block.kind for block in blocks(page)} for page in GUIDES}
    assert kinds == {"rest.md": {"sh"}, "grpcurl.md": {"sh"}, "grpc-web.md": {"sh", "js", "yaml"}}


def test_every_stream_has_its_twin_in_the_page() -> None:
    methods = {rule.method.rpartition("/")[2]: rule.kind for rule in RULES}
    rows = [line.split("|")[1:3] for line in WEB.read_text().splitlines() if line.startswith("| ")]
    twins = {one.strip(): other.strip() for one, other in rows if one.strip() in methods}
    assert set(twins) == {name for name, kind in methods.items() if kind is not Kind.UNARY}
    for stream, twin in twins.items():
        assert twin.startswith("REST") or methods[twin] is Kind.UNARY, stream
