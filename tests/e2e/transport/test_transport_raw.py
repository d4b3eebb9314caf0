"""What no gRPC library sends: calls without a message, windows that stay shut, bombs, resets, doubled headers (T24).

Each of these is met, counted and ended by the server itself, and others are served meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from marketd.kernel.call.caller import Role
from marketd.transport.edge.admission import Bounds
from marketd.transport.edge.unread import UnreadBounds
from marketd.transport.passage import Passage
from marketd.transport.server import ServerOptions

from tests.worlds.probe_service import SERVICE
from tests.worlds.raw_http2 import Connection, Stream, block, message
from tests.worlds.raw_probe import (
    DEADLINE_EXCEEDED,
    INVALID_ARGUMENT,
    SOON,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    settled,
    status_of_a_call,
    to,
)

if TYPE_CHECKING:
    from tests.worlds.probe import Probe

StartProbe = Callable[..., Awaitable["Probe"]]
Connect = Callable[..., Awaitable[Connection]]


@pytest.mark.parametrize("method", ["Upload", "Chat", "ChatByReads"])
async def test_a_stream_whose_client_never_says_anything_is_ended_and_one_that_began_is_not(
    start_probe: StartProbe, connect: Connect, method: str
) -> None:
    probe = await start_probe(message_seconds=0.5)
    raw, token = await connect(probe), probe.tokens.issue(Role.BUYER)
    silent, begun = raw.begin(to(method, token)), raw.begin(to(method, token))
    raw.say(begun, message(b""), end=False)
    ended = await raw.end_of(silent, SOON)
    assert (ended.status, ended.reason) == (DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    await asyncio.sleep(1.0)
    assert not raw.streams[begun].ended.is_set()


@pytest.mark.parametrize("method", ["Get", "Ask", "Watch", "WatchByWrites"])
async def test_a_call_that_sends_no_message_is_counted_at_once_and_ended(
    start_probe: StartProbe, connect: Connect, method: str
) -> None:
    probe = await start_probe(message_seconds=0.3)
    raw = await connect(probe)
    silent = raw.begin(to(method, probe.tokens.issue(Role.BUYER)))
    await settled(lambda: len(probe.server.calls.arriving) == 1)
    ended = await raw.end_of(silent, SOON)
    assert (ended.status, ended.reason) == (DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert [line["code"] for line in await probe.log()] == ["DEADLINE_EXCEEDED"]
    assert not probe.server.calls.arriving


@pytest.mark.parametrize("method", ["Get", "Watch"])
@pytest.mark.parametrize("sent", [b"", b"\0\0\0", message(b"whole")[:-1], b"\0\0\0\0\x64" + b"x" * 50])
async def test_a_call_that_ends_without_a_whole_message_is_refused(
    probe: Probe, connect: Connect, method: str, sent: bytes
) -> None:
    raw = await connect(probe)
    call = raw.begin(to(method, probe.tokens.issue(Role.BUYER)), end=not sent)
    if sent:
        raw.say(call, sent)
    ended = await raw.end_of(call, SOON)
    assert (ended.status, ended.reason) == (INVALID_ARGUMENT, "MALFORMED_REQUEST")
    assert [line["reason"] for line in await probe.log()] == ["MALFORMED_REQUEST"]


async def test_an_empty_message_is_a_message(probe: Probe, connect: Connect) -> None:
    raw = await connect(probe)
    assert (await raw.end_of(raw.call(to("Get")), SOON)).status == "0"


async def test_whoever_may_not_call_is_told_before_a_message_is_read(probe: Probe, connect: Connect) -> None:
    raw = await connect(probe)
    ended = await raw.end_of(raw.begin(to("Ask")), SOON)
    assert (ended.status, ended.reason) == (UNAUTHENTICATED, "UNAUTHENTICATED")


async def test_calls_without_a_message_take_no_place_of_those_that_are_worked_on(
    start_probe: StartProbe, connect: Connect
) -> None:
    probe = await start_probe(bounds=Bounds(arriving=(50, 20), unary=(1, 1)), message_seconds=60)
    raw = await connect(probe)
    for _ in range(19):
        raw.begin(to("Get"))
    await settled(lambda: len(probe.server.calls.arriving) == 19)
    assert (await raw.end_of(raw.call(to("Get")), SOON)).status == "0"


async def test_where_too_many_wait_with_their_message_the_oldest_makes_room(
    start_probe: StartProbe, connect: Connect
) -> None:
    probe = await start_probe(bounds=Bounds(arriving=(3, 2)), message_seconds=60, trusted_proxy_hops=1)
    raw = await connect(probe)
    arriving = probe.server.calls.arriving
    mine, yours, others = (to("Get", extra=[("x-forwarded-for", f"192.0.2.{number}")]) for number in (1, 2, 3))
    silent = [raw.begin(mine)]
    await settled(lambda: len(arriving) == 1)
    silent.append(raw.begin(mine))
    await settled(lambda: len(arriving) == 2)
    # Of the same address: the honest call is served, and the oldest of that address had to go for it.
    assert (await raw.end_of(raw.call(mine), SOON)).status == "0"
    first = await raw.end_of(silent[0], SOON)
    assert (first.status, first.reason) == (UNAVAILABLE, "OVERLOADED")
    assert first.retry_seconds > 0
    assert not raw.streams[silent[1]].ended.is_set()
    # And where the room is full, of the address that has most: a slow client pays for nobody else's.
    silent += [raw.begin(yours), raw.begin(yours)]
    await settled(lambda: len(arriving) == 3)
    assert (await raw.end_of(raw.call(others), SOON)).status == "0"
    assert (await raw.end_of(silent[2], SOON)).reason == "OVERLOADED"
    assert not raw.streams[silent[1]].ended.is_set()
    assert sorted(line["reason"] for line in await until_over(probe, 4)) == ["", "", "OVERLOADED", "OVERLOADED"]


async def until_over(probe: Probe, calls: int) -> list[dict[str, Any]]:
    """The access log once it has so many lines, whatever else is still open."""
    lines: list[dict[str, Any]] = []

    def grown() -> bool:
        probe.server.accounting.flush()
        lines[:] = probe.lines()
        return len(lines) >= calls

    await settled(grown)
    return lines


@pytest.mark.parametrize(
    ("method", "bounds"),
    [("Ask", Bounds(unary=(3, 2))), ("Watch", Bounds(streams=(3, 2))), ("Chat", Bounds(streams=(3, 2)))],
)
async def test_one_address_has_its_part_of_each_room_and_no_more(
    start_probe: StartProbe, connect: Connect, method: str, bounds: Bounds
) -> None:
    probe = await start_probe(bounds=bounds, trusted_proxy_hops=1)
    token, go_on = probe.tokens.issue(Role.BUYER), asyncio.Event()
    busy = 0

    async def wait(request: Any, context: Any) -> Any:
        nonlocal busy
        busy += 1
        await go_on.wait()
        return probe.answer()

    async def wait_generator(request: Any, context: Any) -> Any:
        yield await wait(request, context)

    probe.on[method] = wait if method == "Ask" else wait_generator
    raw = await connect(probe)
    # An IPv6 network counts as one address, and so do the ways to write one.
    mine = [("x-forwarded-for", "2001:db8::1"), ("x-forwarded-for", "[2001:db8:0:0:ffff::2]:443")]
    held = [raw.call(to(method, token, [pair])) for pair in mine]
    await settled(lambda: busy == 2)
    refused = await raw.end_of(raw.call(to(method, token, [("x-forwarded-for", "2001:db8::3")])), SOON)
    assert (refused.status, refused.reason) == (UNAVAILABLE, "OVERLOADED")
    held.append(raw.call(to(method, token, [("x-forwarded-for", "2001:db8:0:1::1")])))
    await settled(lambda: busy == 3)
    full = await raw.end_of(raw.call(to(method, token, [("x-forwarded-for", "192.0.2.1")])), SOON)
    assert full.reason == "OVERLOADED"
    go_on.set()
    assert {(await raw.end_of(call, SOON)).status for call in held} == {"0"}


async def test_whoever_watches_the_health_shares_with_the_address(start_probe: StartProbe, connect: Connect) -> None:
    probe = await start_probe(bounds=Bounds(health_watches=(3, 2)), trusted_proxy_hops=1)
    raw = await connect(probe)
    path = "/grpc.health.v1.Health/Watch"
    mine, other = (block(path, [("x-forwarded-for", address)]) for address in ("192.0.2.1", "192.0.2.2"))
    watches = [raw.call(mine), raw.call(mine)]
    await settled(lambda: all(raw.streams[watch].data for watch in watches))
    assert (await raw.end_of(raw.call(mine), SOON)).reason == "OVERLOADED"
    watch = raw.call(other)
    await settled(lambda: bool(raw.streams[watch].data))


@pytest.mark.parametrize("method", ["Check", "Watch"])
async def test_calls_of_health_without_a_message_keep_nobody_from_asking(
    start_probe: StartProbe, connect: Connect, method: str
) -> None:
    bounds = Bounds(vital_arriving=(3, 2), health_checks=(1, 1), health_watches=(1, 1))
    probe = await start_probe(bounds=bounds, trusted_proxy_hops=1, message_seconds=60)
    raw = await connect(probe)
    path = f"/grpc.health.v1.Health/{method}"
    mine, other = (block(path, [("x-forwarded-for", address)]) for address in ("192.0.2.1", "192.0.2.2"))
    silent = [raw.begin(mine) for _ in range(3)]
    assert (await raw.end_of(silent[0], SOON)).reason == "OVERLOADED"
    assert len(probe.server.calls.vital_arriving) == 2
    for headers in (mine, other):
        asked = raw.streams[number := raw.call(headers)]
        await answered(asked)
        raw.reset(number)
        await settled(lambda: len(probe.server.calls.streams) + len(probe.server.calls.unary) <= 2)


async def answered(stream: Stream) -> None:
    """Wait for the first answer of a call."""
    await settled(lambda: bool(stream.data))


LONG = 100_000
MUCH = 1 << 30


async def long_answers(start_probe: StartProbe, bounds: UnreadBounds, hops: int = 0) -> Probe:
    """A probe that answers at length."""
    probe = await start_probe(unread=bounds, trusted_proxy_hops=hops)

    async def answer(request: Any, context: Any) -> Any:
        return probe.answer(payload=b"x" * LONG)

    probe.on["Get"] = answer
    return probe


async def left_unread(probe: Probe, mute: Connection, headers: bytes, calls: int) -> None:
    """Ask so often, and wait until the answers are stale."""
    unread = probe.server.calls.unread
    before = unread.stale_bytes
    for _ in range(calls):
        mute.call(headers)
    await settled(lambda: unread.stale_bytes >= before + calls * LONG)


@pytest.mark.parametrize("hops", [0, 1])
async def test_who_leaves_too_much_unread_gets_no_more_and_nobody_else_pays_for_it(
    start_probe: StartProbe, connect: Connect, hops: int
) -> None:
    bounds = UnreadBounds(of_source=3 * LONG, rushing=MUCH, of_address=MUCH, in_all=MUCH)
    probe = await long_answers(start_probe, bounds, hops)
    mute, raw = await connect(probe, window=0), await connect(probe)
    mine, other = (to("Get", extra=[("x-forwarded-for", address)]) for address in ("192.0.2.1", "192.0.2.2"))
    await left_unread(probe, mute, mine, 3)
    for _ in range(5):
        assert (await mute.end_of(mute.call(mine), SOON)).reason == "OVERLOADED"
    await settled(lambda: probe.server.calls.unread.count == 3)
    assert 3 * LONG < probe.server.calls.unread.total_bytes < 4 * LONG
    # A direct caller is its connection: another one from the same address is served. Behind a proxy it is the address.
    whole = await raw.end_of(raw.call(other if hops else mine), SOON)
    assert (whole.status, len(whole.data)) == ("0", len(message(probe.answer(payload=b"x" * LONG).SerializeToString())))
    if hops:
        assert (await raw.end_of(raw.call(mine), SOON)).reason == "OVERLOADED"
    await mute.close()
    await settled(lambda: not probe.server.calls.unread.count)
    assert (await raw.end_of(raw.call(mine), SOON)).status == "0"


@pytest.mark.parametrize(
    ("bounds", "of_those_who_left", "of_the_address"),
    [
        (UnreadBounds(of_source=MUCH, rushing=MUCH, of_address=MUCH, in_all=MUCH), "", ""),
        (UnreadBounds(of_source=MUCH, rushing=MUCH, of_address=LONG, in_all=MUCH), "OVERLOADED", ""),
        (UnreadBounds(of_source=MUCH, rushing=MUCH, of_address=MUCH, in_all=LONG * 3 // 2), "OVERLOADED", ""),
        (UnreadBounds(of_source=MUCH, rushing=MUCH, of_address=LONG, in_all=LONG * 3 // 2), "OVERLOADED", "OVERLOADED"),
    ],
)
async def test_much_that_is_left_unread_costs_first_those_who_left_it(
    start_probe: StartProbe, connect: Connect, bounds: UnreadBounds, of_those_who_left: str, of_the_address: str
) -> None:
    probe = await long_answers(start_probe, bounds)
    mutes = [await connect(probe, window=0) for _ in range(2)]
    for mute in mutes:
        await left_unread(probe, mute, to("Get"), 1)
    raw = await connect(probe)
    for _ in range(20):
        assert (await raw.end_of(raw.call(to("Get")), SOON)).reason == of_the_address
    again = mutes[0].call(to("Get"))
    if of_those_who_left:
        assert (await mutes[0].end_of(again, SOON)).reason == of_those_who_left
    else:
        await settled(lambda: probe.server.calls.unread.count == 3)


async def test_who_asks_faster_than_anybody_can_look_is_stopped_too(start_probe: StartProbe, connect: Connect) -> None:
    probe = await long_answers(start_probe, UnreadBounds(rushing=5 * LONG))
    mute, raw = await connect(probe, window=0), await connect(probe)
    calls = [mute.call(to("Get")) for _ in range(100)]
    await settled(
        lambda: not probe.server.calls.unary and sum(mute.streams[call].ended.is_set() for call in calls) > 50
    )
    assert {mute.streams[call].reason for call in calls if mute.streams[call].ended.is_set()} == {"OVERLOADED"}
    assert (await raw.end_of(raw.call(to("Get")), SOON)).status == "0"


@pytest.mark.parametrize("path", ["/grpc.health.v1.Health/Check", f"/{SERVICE}/Get"])
async def test_an_answer_that_is_not_read_keeps_nothing_of_its_request(
    probe: Probe, connect: Connect, path: str
) -> None:
    before = passages()  # what earlier tests have left behind
    mute = await connect(probe, window=0)
    mute.call(block(path), b"\xfa\xff\x07\x90\x4e" + b"x" * 10_000)
    await settled(lambda: probe.server.calls.unread.count == 1 and not probe.server.calls.unary)
    assert not passages() - before


def passages() -> set[Passage]:
    """All that anything still refers to."""
    gc.collect()
    return {thing for thing in gc.get_objects() if isinstance(thing, Passage)}


async def test_a_stream_that_is_never_read_is_over_soon_and_stays_known_until_its_connection_ends(
    start_probe: StartProbe, connect: Connect
) -> None:
    probe = await start_probe(slow_write_seconds=0.3)

    async def talk(request: Any, context: Any) -> Any:
        while True:
            yield probe.answer(payload=b"x" * 1_000)

    probe.on["Watch"] = talk
    mute = await connect(probe, window=0)
    watch = mute.call(to("Watch", probe.tokens.issue(Role.BUYER)))
    lines = await probe.log()
    while not lines:
        await asyncio.sleep(0.05)
        lines = await probe.log()
    assert [line["reason"] for line in lines] == ["SLOW_CONSUMER"]
    assert not probe.server.calls.streams
    assert probe.server.calls.unread.count == 1
    assert not mute.streams[watch].ended.is_set()  # the core keeps the status behind what was not read
    await mute.close()
    await settled(lambda: not probe.server.calls.unread.count)


async def test_nothing_is_inflated_for_strangers(probe: Probe, connect: Connect) -> None:
    bomb = gzip.compress(probe.question(payload=b"\0" * 4_000_000).SerializeToString())
    reached = False

    async def reach(request: Any, context: Any) -> Any:
        nonlocal reached
        reached = True
        return probe.answer()

    probe.on["Get"] = probe.on["Ask"] = reach
    raw = await connect(probe)
    for headers, status in ((to("Get"), UNIMPLEMENTED), (to("Ask"), UNAUTHENTICATED)):
        call = raw.begin(headers[:-1] + headers[-1:] + block_of("grpc-encoding", "gzip"))
        raw.say(call, message(bomb, compressed=True))
        assert (await raw.end_of(call, SOON)).status in (status, UNIMPLEMENTED)
    assert not reached
    assert "gzip" not in dict((await raw.end_of(raw.call(to("Get")), SOON)).headers)["grpc-accept-encoding"]


def block_of(name: str, value: str) -> bytes:
    """One more header, to stand behind a block."""
    whole, start = block("/", [(name, value)]), block("/")
    return whole[len(start) :]


async def test_the_internal_port_may_take_compressed_messages(start_probe: StartProbe, connect: Connect) -> None:
    probe = await start_probe(internal_port=0, internal_compression=True)

    async def echo(request: Any, context: Any) -> Any:
        return probe.answer(text=request.text)

    probe.on["Get"] = echo
    packed = message(gzip.compress(probe.question(text="small").SerializeToString()), compressed=True)
    found = []
    for port in (probe.server.internal_port, probe.server.port):
        raw = await connect(probe, port=port)
        call = raw.begin(to("Get", extra=[("grpc-encoding", "gzip")]))
        raw.say(call, packed)
        found.append((await raw.end_of(call, SOON)).status)
    assert found == ["0", UNIMPLEMENTED]


async def test_calls_that_are_reset_at_once_are_counted_and_leave_nothing(probe: Probe, connect: Connect) -> None:
    raw, token = await connect(probe), probe.tokens.issue(Role.BUYER)
    headers = to("Ask", token)
    for _ in range(100):
        raw.reset(raw.begin(headers))
    honest = raw.call(headers)
    assert (await raw.end_of(honest, SOON)).status == "0"
    log = await probe.log()
    assert {line["code"] for line in log} <= {"OK", "CANCELLED"}
    assert not probe.server.calls.arriving
    assert not probe.server.calls.unary


async def test_a_call_that_is_given_up_before_its_message_is_counted_as_that(probe: Probe, connect: Connect) -> None:
    raw = await connect(probe)
    given_up = raw.begin(to("Get"))
    await settled(lambda: len(probe.server.calls.arriving) == 1)
    raw.reset(given_up)
    await settled(lambda: not probe.server.calls.arriving)
    assert [(line["code"], line["reason"]) for line in await probe.log()] == [("CANCELLED", "")]


async def test_connections_are_bounded(start_probe: StartProbe, connect: Connect) -> None:
    probe = await start_probe(max_connections=3)
    await probe.result("Get", probe.question())  # the probe's own client is one of them
    inside = [await connect(probe) for _ in range(2)]
    for raw in inside:
        assert (await raw.end_of(raw.call(to("Get")), SOON)).status == "0"
    outside = await connect(probe)
    async with asyncio.timeout(SOON):
        await outside.closed.wait()
    await inside[0].close()
    again = await connect(probe)
    async with asyncio.timeout(SOON):
        while again.closed.is_set() or (await status_of_a_call(again)) != "0":
            again = await connect(probe)
            await asyncio.sleep(0.05)


async def test_who_pings_a_little_early_stays_and_who_floods_with_pings_is_cut_off(
    start_probe: StartProbe, connect: Connect
) -> None:
    probe = await start_probe(ping_interval_seconds=0.2)
    steady, flood = await connect(probe), await connect(probe)
    # Twice the least interval, as clients that ping every 10 s keep to the server's 5 s: early pings are no strikes.
    for early in (0.0, 0.05, 0.1, 0.05, 0.0, 0.1):
        await asyncio.sleep(0.4 - early)
        steady.ping()
    for _ in range(10):
        flood.ping()
    async with asyncio.timeout(SOON):
        await flood.closed.wait()
    assert steady.goaway is None
    assert await status_of_a_call(steady) == "0"


def test_clients_that_ping_every_ten_seconds_have_room_to_be_early() -> None:
    assert ServerOptions().ping_interval_seconds <= 5
