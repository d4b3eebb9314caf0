"""Streams end when they must: at the token's end, at a revoke, when nobody reads, when the server drains."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from marketd.kernel.call import call as kernel_call
from marketd.kernel.call.caller import Role
from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import Refusal

if TYPE_CHECKING:
    from tests.worlds.probe import Probe

STREAMS = ["Watch", "WatchByWrites", "Chat", "ChatByReads"]
every_stream = pytest.mark.parametrize("method", STREAMS)


class SessionRevoked(Refusal):
    """What auth's broadcast would end a stream with."""

    code = Code.UNAUTHENTICATED
    reason = Reason.SESSION_REVOKED

    def __init__(self) -> None:
        super().__init__("The session was ended.")


def first_then_wait(probe: Probe, method: str, cleaned: asyncio.Event) -> None:
    """Script: one answer, then nothing until the stream is ended."""

    async def generator(request: Any, context: Any) -> Any:
        try:
            yield probe.answer(text="first")
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    async def by_context(request: Any, context: Any) -> None:
        try:
            await context.write(probe.answer(text="first"))
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    probe.on[method] = by_context if "By" in method else generator


async def ended(probe: Probe, call: Any) -> Any:
    with pytest.raises(probe.error) as caught:
        await asyncio.wait_for(call.read(), 5)
    return probe.taken_apart(caught.value)


@every_stream
async def test_a_stream_ends_when_its_token_expires(probe: Probe, method: str) -> None:
    cleaned = asyncio.Event()
    first_then_wait(probe, method, cleaned)
    token = probe.tokens.issue(Role.BUYER, expires=time.time() + 0.3)
    call = probe.call(method, probe.question(), token=token)
    assert (await call.read()).text == "first"
    assert (await ended(probe, call)).why == ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    await asyncio.wait_for(cleaned.wait(), 1)


@every_stream
@pytest.mark.parametrize("by", ["session", "account"])
async def test_a_revoke_ends_the_streams_of_that_one_only(probe: Probe, method: str, by: str) -> None:
    cleaned = asyncio.Event()
    first_then_wait(probe, method, cleaned)
    mine, other = probe.tokens.issue(Role.BUYER), probe.tokens.issue(Role.BUYER)
    calls = [probe.call(method, probe.question(), token=token) for token in (mine, mine, other)]
    for call in calls:
        assert (await call.read()).text == "first"
    caller = probe.tokens.callers[mine]
    registry = probe.server.calls
    assert caller.session_id is not None
    end = (
        registry.end_session(caller.session_id, SessionRevoked())
        if by == "session"
        else registry.end_account(caller.known_user_id, lambda _rule: SessionRevoked())
    )
    assert end == 2
    for call in calls[:2]:
        assert (await ended(probe, call)).why == ("UNAUTHENTICATED", "SESSION_REVOKED")
    await asyncio.wait_for(cleaned.wait(), 1)
    assert not calls[2].done()
    calls[2].cancel()


async def test_a_handler_that_takes_its_end_for_a_normal_one_still_ends_with_the_reason(probe: Probe) -> None:
    begun = asyncio.Event()

    async def swallow(request: Any, context: Any) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    probe.on["WatchByWrites"] = swallow
    token = probe.tokens.issue(Role.BUYER)
    call = probe.call("WatchByWrites", probe.question(), token=token)
    waiting = asyncio.ensure_future(ended(probe, call))
    await asyncio.wait_for(begun.wait(), 5)
    probe.server.calls.end_account(probe.tokens.callers[token].known_user_id, lambda _rule: SessionRevoked())
    assert (await waiting).why == ("UNAUTHENTICATED", "SESSION_REVOKED")


@pytest.mark.parametrize("method", ["Watch", "WatchByWrites"])
async def test_a_reader_that_does_not_read_is_ended_and_its_neighbour_is_not(
    start_probe: Callable[..., Awaitable[Probe]], method: str
) -> None:
    probe = await start_probe(slow_write_seconds=0.4)
    cleaned, flowing = asyncio.Event(), asyncio.Event()
    big = probe.answer(payload=bytes(256 * 1024)).SerializeToString()

    async def flood(request: Any, context: Any) -> Any:
        try:
            while True:
                yield big
        finally:
            cleaned.set()

    async def flood_by_context(request: Any, context: Any) -> None:
        async for message in flood(request, context):
            await context.write(message)

    async def trickle(request: Any, context: Any) -> Any:
        while True:
            yield probe.answer(text="tick")
            await flowing.wait()
            flowing.clear()

    token = probe.tokens.issue(Role.BUYER)
    probe.on[method] = flood_by_context if "By" in method else flood
    slow = probe.call(method, probe.question(), token=token)
    probe.on["Chat"] = trickle
    healthy = probe.call("Chat", probe.question(), token=token)
    assert (await healthy.read()).text == "tick"
    await slow.read()
    await asyncio.wait_for(cleaned.wait(), 5)
    flowing.set()
    assert (await asyncio.wait_for(healthy.read(), 5)).text == "tick"

    async def read_on() -> None:
        while True:
            await asyncio.wait_for(slow.read(), 5)

    with pytest.raises(probe.error) as caught:  # what was under way, then why it ended
        await read_on()
    assert probe.taken_apart(caught.value).why == ("RESOURCE_EXHAUSTED", "SLOW_CONSUMER")
    healthy.cancel()


async def test_a_drain_tells_streams_ends_them_and_lets_unary_calls_finish(
    start_probe: Callable[..., Awaitable[Probe]],
) -> None:
    probe = await start_probe()
    cleaned, asked, go_on, told = asyncio.Event(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    say = asyncio.Queue[str]()

    async def tracked(request: Any, context: Any) -> Any:
        while True:
            yield probe.answer(text=await say.get())

    async def slow(request: Any, context: Any) -> Any:
        asked.set()
        await go_on.wait()
        return probe.answer(text="done")

    async def tell() -> None:
        say.put_nowait("drain")
        told.set()

    token = probe.tokens.issue(Role.BUYER)
    first_then_wait(probe, "WatchByWrites", cleaned)
    probe.on["Watch"], probe.on["Ask"] = tracked, slow
    probe.server.calls.on_drain(tell)
    plain = probe.call("WatchByWrites", probe.question(), token=token)
    await plain.read()
    hooked = probe.call("Watch", probe.question(), token=token)
    say.put_nowait("hello")
    assert (await hooked.read()).text == "hello"
    unary = asyncio.ensure_future(probe.call("Ask", probe.question(), token=token))
    await asyncio.wait_for(asked.wait(), 5)
    stopping = asyncio.create_task(probe.server.stop(5))
    await asyncio.wait_for(told.wait(), 5)
    assert (await hooked.read()).text == "drain"
    assert (await ended(probe, hooked)).why == ("UNAVAILABLE", "DRAINING")
    assert (await ended(probe, plain)).why == ("UNAVAILABLE", "DRAINING")
    await asyncio.wait_for(cleaned.wait(), 1)
    assert not stopping.done()
    go_on.set()
    assert (await unary).text == "done"
    await asyncio.wait_for(stopping, 5)
    assert probe.server.health.state("") is False


async def test_stop_returns_only_after_the_handlers_finally_blocks(
    start_probe: Callable[..., Awaitable[Probe]],
) -> None:
    probe = await start_probe()
    begun = asyncio.Event()
    steps: list[str] = []

    async def stubborn(request: Any, context: Any) -> Any:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.2)
            steps.append("cleaned")

    probe.on["Ask"] = stubborn
    call = asyncio.ensure_future(probe.refused("Ask", probe.question(), token=probe.tokens.issue(Role.BUYER)))
    await asyncio.wait_for(begun.wait(), 5)
    await probe.server.stop(0.2)
    assert steps == ["cleaned"]
    assert not probe.server.calls.unary
    assert (await asyncio.gather(call, return_exceptions=True))[0] is not None


@every_stream
async def test_a_stream_has_no_deadline_of_the_servers_own(probe: Probe, method: str) -> None:
    deadlines: list[float | None] = []

    # Both read to the end: grpc.aio's client loses the status of a call that ends while it still writes.
    async def by_context(request: Any, context: Any) -> None:
        deadlines.append(kernel_call.current().deadline)
        while method == "ChatByReads" and await context.read() is not grpc.aio.EOF:
            pass

    async def generator(request: Any, context: Any) -> Any:
        deadlines.append(kernel_call.current().deadline)
        if hasattr(request, "__aiter__"):
            async for _ in request:
                pass
        for nothing in list[Any]():
            yield nothing

    probe.on[method] = by_context if "By" in method else generator
    token = probe.tokens.issue(Role.BUYER)
    for _ in range(2):  # the first call verifies the token, the second finds it cached
        await probe.result(method, probe.question(), token=token, timeout=None)
    assert deadlines == [None, None]


async def test_an_upload_whose_client_leaves_ends_normally_or_cancelled_but_never_hangs(probe: Probe) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def upload(request: Any, context: Any) -> Any:
        try:
            async for _ in request:
                begun.set()
            return probe.answer(text="whole?")
        finally:
            left.set()

    probe.on["Upload"] = upload
    call = probe.call("Upload", token=probe.tokens.issue(Role.BUYER))
    await call.write(probe.question(text="part").SerializeToString())
    await asyncio.wait_for(begun.wait(), 5)
    call.cancel()
    await asyncio.wait_for(left.wait(), 5)


async def test_readers_who_leave_in_the_middle_of_an_answer_leave_no_traceback(
    probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    left: list[asyncio.Event] = []
    big = probe.answer(payload=bytes(256 * 1024)).SerializeToString()

    async def flood(request: Any, context: Any) -> Any:
        left.append(asyncio.Event())
        mine = left[-1]
        try:
            while True:
                yield big
        finally:
            mine.set()

    probe.on["Watch"] = flood
    token = probe.tokens.issue(Role.BUYER)
    calls = [probe.call("Watch", probe.question(), token=token) for _ in range(60)]
    for call in calls:
        await asyncio.wait_for(call.read(), 5)
    for call in calls:
        call.cancel()
    for each in left:
        await asyncio.wait_for(each.wait(), 5)
    assert len(left) == len(calls)
    assert not [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
