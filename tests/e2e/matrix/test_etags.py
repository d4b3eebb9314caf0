"""Etags: whatever may be asked for of a state is refused when that state is not the one of now, and nothing is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd.transport.rules import Idempotency

from tests.e2e.matrix.recipes import RECIPES
from tests.e2e.matrix.scenes import caller_for
from tests.worlds.matrix import Market
from tests.worlds.observed import RULES
from tests.worlds.things import new_key

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _takes_an_etag(method: str) -> bool:
    service, name = method.strip("/").split("/")
    if not service.startswith("marketplace."):
        return False
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    return "etag" in found.input_type.fields_by_name


def _each() -> Iterator[Any]:
    """What takes an order to get to is tried in the long form; that it refuses a stale etag, test_replays sees too."""
    for method in sorted(filter(_takes_an_etag, RECIPES)):
        is_long = method.split(".")[1] in ("order", "payment", "delivery", "review")
        yield pytest.param(method, marks=[pytest.mark.faults] if is_long else [])


@pytest.mark.parametrize("method", [*_each()])
async def test_what_is_asked_of_a_state_that_is_past_is_refused_with_the_etag_of_now(
    market: Market, method: str
) -> None:
    scene = await RECIPES[method].prepare(market, caller_for(RECIPES[method]))
    token = None if scene.caller is None else scene.caller.token
    request: Any = scene.bodies[0]
    request.etag = "stale"
    refused = await market.send_as(token, method, request)
    assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH"), refused
    (info,) = refused.all_of(error_details_pb2.ErrorInfo)
    request.etag = info.metadata["etag"]
    if RULES[method].idempotency is Idempotency.KEY_REQUIRED:
        request.request_id = new_key()
    done = await market.send_as(token, method, request)
    assert done.code is grpc.StatusCode.OK, done
