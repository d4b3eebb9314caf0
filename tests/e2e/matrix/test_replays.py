"""Request ids: the same request gets the first answer, byte by byte, and does nothing again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketplace.catalog.v1 import catalog_service_pb2

from tests.e2e.matrix.audited import AUDITED, check_last_entry
from tests.e2e.matrix.recipes import RECIPES
from tests.e2e.matrix.recipes_goods import csv_file, streamed_import
from tests.e2e.matrix.scenes import caller_for
from tests.worlds.agreed import agreed
from tests.worlds.matrix import Market
from tests.worlds.observed import written
from tests.worlds.things import new_key
from tests.worlds.wire import Outcome

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEYED = sorted(path for path, line in agreed().items() if line.idempotency != "NONE" and line.kind == "UNARY")
REQUIRED = [method for method in KEYED if agreed()[method].idempotency == "KEY_REQUIRED"]
# Unknown fields are dropped where all requests are parsed, so one method of each service shows it.
ONE_OF_EACH = list({method.rpartition("/")[0]: method for method in KEYED}.values())
IMPORT = "/marketplace.catalog.v1.CatalogService/ImportProducts"


async def _scene(market: Market, method: str) -> tuple[str | None, Message]:
    scene = await RECIPES[method].prepare(market, caller_for(RECIPES[method]))
    request: Any = scene.bodies[0]
    if not request.request_id:
        request.request_id = new_key()
    return None if scene.caller is None else scene.caller.token, request


def _all_ok(outcomes: Sequence[Outcome]) -> bool:
    return all(outcome.code is grpc.StatusCode.OK for outcome in outcomes)


def noted(method: str, calls: int) -> dict[str, int]:
    """What so many calls write that do nothing: an entry each in the audit log, where that was agreed."""
    return {"audit_entries": calls} if agreed()[method].is_audited else {}


@pytest.mark.parametrize("method", KEYED)
async def test_a_repeat_gets_the_first_answer_and_writes_nothing(market: Market, method: str) -> None:
    token, request = await _scene(market, method)
    if "etag" in request.DESCRIPTOR.fields_by_name:
        await _refuse_stale(market, token, method, request)
    first = await market.send_as(token, method, request)
    if method in AUDITED:
        await check_last_entry(market, method, request.request_id)  # type: ignore[attr-defined]
    before = await market.contents()
    again = [await market.send_as(token, method, request) for _ in range(2)]
    assert _all_ok([first, *again]), again
    assert [outcome.replayed for outcome in (first, *again)] == [False, True, True]
    assert {outcome.answers for outcome in (first, *again)} == {first.answers}
    assert written(before, await market.contents()) == noted(method, len(again))


@pytest.mark.parametrize("method", sorted(AUDITED - set(KEYED)))
async def test_what_cannot_be_repeated_stands_in_the_audit_log_with_its_thing(market: Market, method: str) -> None:
    scene = await RECIPES[method].prepare(market, caller_for(RECIPES[method]))
    token = None if scene.caller is None else scene.caller.token
    assert _all_ok([await market.send_as(token, method, *scene.bodies)])
    await check_last_entry(market, method)


@pytest.mark.parametrize("method", KEYED)
async def test_another_request_under_the_same_id_is_refused(market: Market, method: str) -> None:
    token, request = await _scene(market, method)
    assert _all_ok([await market.send_as(token, method, request)])
    before = await market.contents(without=frozenset({"audit_entries"}))
    found = [await market.send_as(token, method, other) for other in _others(request)]
    said = {outcome.reason for outcome in found}
    # Some of the others keep no rule of the contract, or name nothing that is there; the rest is refused for the id's
    # sake. EndShift alone has no other request.
    assert said - {"VALIDATION_FAILED", "NOT_FOUND"} == ({"REQUEST_ID_REUSED"} if found else set()), found
    assert written(before, await market.contents(without=frozenset({"audit_entries"}))) == {}


@pytest.mark.parametrize("method", ONE_OF_EACH)
async def test_a_field_that_nobody_knows_makes_no_other_request(market: Market, method: str) -> None:
    token, request = await _scene(market, method)
    first = await market.send_as(token, method, request)
    again = await market.send_as(token, method, request.SerializeToString() + b"\xfa\xff\x07\x05other")
    assert _all_ok([first, again])
    assert again.replayed
    assert again.answers == first.answers


@pytest.mark.parametrize("method", KEYED)
async def test_the_same_request_many_times_at_once_on_two_workers_is_done_once(market: Market, method: str) -> None:
    token, request = await _scene(market, method)
    workers = (market, market.elsewhere) * 2
    outcomes = await asyncio.gather(*(worker.send_as(token, method, request) for worker in workers))
    assert _all_ok(outcomes), [str(outcome) for outcome in outcomes]
    assert len({outcome.answers for outcome in outcomes}) == 1
    assert sorted(outcome.replayed for outcome in outcomes) == [False] + [True] * 3


@pytest.mark.parametrize("method", REQUIRED)
async def test_a_method_that_needs_a_request_id_says_so(market: Market, method: str) -> None:
    token, request = await _scene(market, method)
    before = await market.contents()
    for key in ("", "not-a-uuid", new_key()[:-1]):
        request.request_id = key  # type: ignore[attr-defined]
        outcome = await market.send_as(token, method, request)
        assert (outcome.code, outcome.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
        fields = [one.field for bad in outcome.all_of(error_details_pb2.BadRequest) for one in bad.field_violations]
        assert fields == ["request_id"]
    assert written(before, await market.contents()) == noted(method, 3)


async def _refuse_stale(market: Market, token: str | None, method: str, request: Message) -> None:
    """What is asked of a state that is past is refused; the same is then done when it is asked of what is."""
    stale: Any = type(request)()
    stale.CopyFrom(request)
    stale.etag, stale.request_id = "stale", new_key()
    outcome = await market.send_as(token, method, stale)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH"), outcome


def _kind(answer: bytes) -> str | None:
    return catalog_service_pb2.ImportProductsResponse.FromString(answer).WhichOneof("event")


async def test_a_repeated_import_tells_its_rows_and_summary_again_and_imports_nothing(market: Market) -> None:
    name = secrets.token_hex(6)
    rows = (f"a-{name},A,,,,Size,M,,-5,12.50", f"b-{name},B,,,,Size,M,,5,?", f"c-{name},C,,,,Size,M,,5,1.00")
    stream = streamed_import(csv_file(*rows), chunk=64)
    first = await market.send(IMPORT, *stream, by=market.shop.owner)
    before = await market.contents()
    again = await market.send(IMPORT, *stream, by=market.shop.owner)
    assert _all_ok([first, again])
    assert (first.replayed, again.replayed) == (False, True)
    told = [answer for answer in first.answers if _kind(answer) != "progress"]
    assert [_kind(answer) for answer in told] == ["row_error", "row_warning", "summary"]
    assert again.answers == tuple(told)
    assert written(before, await market.contents()) == {}
    changed = streamed_import(csv_file(), chunk=64)
    changed[0].request_id = stream[0].request_id
    other = await market.send(IMPORT, *changed, by=market.shop.owner)
    assert (other.code, other.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


def _others(request: Message) -> Iterator[Message]:
    """Requests under the same id that differ in one field each."""
    for field in request.DESCRIPTOR.fields:
        if field.name == "request_id":
            continue
        other = type(request)()
        other.CopyFrom(request)
        if field.is_repeated:
            if getattr(other, field.name):
                other.ClearField(field.name)
                yield other
        elif field.message_type is not None:
            if other.HasField(field.name):
                for inner in _others(getattr(request, field.name)):
                    getattr(other, field.name).CopyFrom(inner)
                    yield other
        else:
            setattr(other, field.name, _another(field, getattr(other, field.name)))
            yield other


def _another(field: Any, value: Any) -> Any:
    """Another value that the field may well take."""
    if isinstance(value, bool):
        return not value
    if field.enum_type is not None:
        return next(number for number in field.enum_type.values_by_number if number not in (0, value))
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, bytes):
        return value + b"\n"
    return new_key() if field.name.endswith("_id") else f"{value}x"
