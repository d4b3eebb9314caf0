"""Node buys with grpc-js, knowing only the descriptor set that `marketd descriptors` writes."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from tests.worlds.faults import World
from tests.worlds.foreign import ROOT, fetched, succeed, write_descriptors
from tests.worlds.things import PASSWORD

SCRIPT = ROOT / "tests" / "node" / "shop.cjs"


@pytest.mark.usefixtures("both_workers")
async def test_node_browses_orders_watches_and_pays_with_the_descriptor_set_alone(world: World, tmp_path: Path) -> None:
    node, packages = fetched("node"), fetched("node_modules")
    contract = write_descriptors(tmp_path / "marketplace.binpb")
    async with world.lines(1) as lines:
        goods = await world.product(lines, stock=2)
    target, email = f"127.0.0.1:{world.port}", f"{secrets.token_hex(8)}@shop.example"
    told = json.loads(
        succeed(node, SCRIPT, target, contract, email, PASSWORD, goods.product_id, NODE_PATH=str(packages))
    )
    assert told["listed"] in {1, 2}
    assert told["placed_once"] is True
    assert told["states"] == ["ORDER_STATE_PENDING_PAYMENT", "ORDER_STATE_PAID"]
    assert told["payment"] == "PAYMENT_STATE_CAPTURED"
    assert told["refused"] == "NOT_FOUND"
    state = await world.sql("SELECT state FROM orders WHERE order_id = $1::text::uuid", told["order_id"])
    assert state == "PAID"
    left = await world.sql("SELECT on_hand - reserved FROM stocks WHERE variant_id = $1::text::uuid", goods.variant_id)
    assert left == 0
