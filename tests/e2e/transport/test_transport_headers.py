"""Headers that come twice, addresses that proxies wrote, fields that nobody knows: read in one way and no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from grpc_health.v1 import health_pb2
from marketd.kernel.call import call as kernel_call
from marketd.kernel.call.caller import Role

from tests.worlds.raw_http2 import Connection, block, message
from tests.worlds.raw_probe import INVALID_ARGUMENT, SOON, to

if TYPE_CHECKING:
    from tests.worlds.probe import Probe

StartProbe = Callable[..., Awaitable["Probe"]]
Connect = Callable[..., Awaitable[Connection]]


@pytest.mark.parametrize("name", ["authorization", "x-request-id"])
async def test_a_header_with_one_value_is_refused_when_it_comes_twice(
    probe: Probe, connect: Connect, name: str
) -> None:
    token = probe.tokens.issue(Role.BUYER)
    value = f"Bearer {token}" if name == "authorization" else "same"
    raw = await connect(probe)
    for second in (value, "other"):
        call = raw.call(to("GetMine", "" if name == "authorization" else token, [(name, value), (name, second)]))
        ended = await raw.end_of(call, SOON)
        assert (ended.status, ended.reason) == (INVALID_ARGUMENT, "MALFORMED_REQUEST")
        assert name in dict(ended.headers)["grpc-message"]


async def test_other_headers_may_come_twice(probe: Probe, connect: Connect) -> None:
    raw = await connect(probe)
    pairs = [("cookie", "a=1"), ("cookie", "b=2"), ("tracestate", "x=1"), ("tracestate", "y=2")]
    assert (await raw.end_of(raw.call(to("Get", extra=pairs)), SOON)).status == "0"


async def test_a_gateways_question_that_had_a_yes_is_no_news_and_everything_else_is(
    probe: Probe, connect: Connect
) -> None:
    check, asks = "/grpc.health.v1.Health/Check", [("user-agent", "Envoy/HC")]
    raw = await connect(probe)
    for headers in (block(check, asks), block(check), to("Get", extra=asks)):
        assert (await raw.end_of(raw.call(headers), SOON)).status == "0"
    nobody = health_pb2.HealthCheckRequest(service="no.such.Service").SerializeToString()
    assert (await raw.end_of(raw.call(block(check, asks), nobody), SOON)).status != "0"
    lines = [(line["method"].rpartition("/")[2], line["code"]) for line in await probe.log()]
    assert lines == [("Check", "OK"), ("Get", "OK"), ("Check", "NOT_FOUND")]


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        (["203.0.113.9", "203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7, 203.0.113.8:4711"], "203.0.113.8"),
        (["[2001:db8::7]:443"], "2001:db8::7"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        (["unknown"], "127.0.0.1"),
        (["203.0.113.7, "], "127.0.0.1"),
    ],
)
async def test_the_address_is_what_the_trusted_proxy_saw_and_else_the_peer(
    start_probe: StartProbe, connect: Connect, headers: list[str], address: str
) -> None:
    probe = await start_probe(trusted_proxy_hops=1)
    seen = []

    async def look(request: Any, context: Any) -> Any:
        seen.append(kernel_call.current_caller().address)
        return probe.answer()

    probe.on["Get"] = look
    raw = await connect(probe)
    await raw.end_of(raw.call(to("Get", extra=[("x-forwarded-for", value) for value in headers])), SOON)
    assert seen == [address]


UNKNOWN_FIELD = b"\xfa\x3e\x03abc"  # number 1007, length-delimited: what a later contract might add


async def test_unknown_fields_neither_change_what_a_request_id_stands_for_nor_reach_a_handler(
    probe: Probe, connect: Connect
) -> None:
    seen: list[tuple[Any, bytes]] = []

    async def note(request: Any, context: Any) -> Any:
        seen.append((kernel_call.current().once, request.SerializeToString()))
        return probe.answer()

    probe.on["Place"] = note
    raw, token = await connect(probe), probe.tokens.issue(Role.BUYER)
    plain = probe.question(request_id=str(uuid4()), text="the same").SerializeToString()
    for body in (plain, plain + UNKNOWN_FIELD, UNKNOWN_FIELD + plain):
        await raw.end_of(raw.call(to("Place", token), body), SOON)
    assert seen == [seen[0]] * 3
    assert seen[0][1] == plain


async def test_requests_that_mean_the_same_share_the_answer_that_is_kept(probe: Probe, connect: Connect) -> None:
    asked = 0

    async def count(request: Any, context: Any) -> Any:
        nonlocal asked
        asked += 1
        kernel_call.current().cache_tag = "thing"
        return probe.answer(text=request.text)

    probe.on["Get"] = count
    raw = await connect(probe)
    plain = probe.question(text="the same").SerializeToString()
    bodies = [UNKNOWN_FIELD + plain, plain, *(plain + b"\xfa\x3e\x01" + bytes([number]) for number in range(20))]
    answers = {(await raw.end_of(raw.call(to("Get"), body), SOON)).data for body in bodies}
    assert asked == 1
    assert answers == {message(probe.answer(text="the same").SerializeToString())}
    await raw.end_of(raw.call(to("Get"), probe.question(text="another").SerializeToString()), SOON)
    assert asked == 2
