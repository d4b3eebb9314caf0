"""How an answer stream begins and ends for those who see HTTP and no trailers: as a status, or with a last message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from google.rpc import status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import NotFound, Overloaded
from marketd.transport.last_words import STREAM_ERRORS, error_message

from tests.worlds.raw_http2 import Connection, Stream, message
from tests.worlds.raw_probe import SOON, to

if TYPE_CHECKING:
    from tests.worlds.probe import Probe

Connect = Callable[..., Awaitable[Connection]]
TOLD = (STREAM_ERRORS, "message")
watches = pytest.mark.parametrize("method", ["Watch", "WatchByWrites"])


def fails_after(probe: Probe, method: str, *texts: str) -> None:
    """Script: these answers, then NOT_FOUND."""

    async def generator(request: Any, context: Any) -> Any:
        for text in texts:
            yield probe.answer(text=text)
        raise NotFound("order", "7")

    async def by_context(request: Any, context: Any) -> None:
        for text in texts:
            await context.write(probe.answer(text=text))
        raise NotFound("order", "7")

    probe.on[method] = by_context if "By" in method else generator


async def watched(probe: Probe, connect: Connect, method: str, *headers: tuple[str, str]) -> Stream:
    raw = await connect(probe)
    return await raw.end_of(raw.call(to(method, probe.tokens.issue(Role.BUYER), headers)), SOON)


@watches
@pytest.mark.parametrize("headers", [(), (TOLD,)])
async def test_a_stream_that_fails_before_its_first_answer_is_a_status_alone(
    probe: Probe, connect: Connect, method: str, headers: tuple[tuple[str, str], ...]
) -> None:
    fails_after(probe, method)
    stream = await watched(probe, connect, method, *headers)
    assert (stream.status, stream.reason, stream.data) == ("5", "NOT_FOUND", b"")
    # With headers of their own the answer would have begun, and HTTP's status would be 200.
    assert [name for name, _ in stream.headers].count("grpc-accept-encoding") == 0


@watches
async def test_the_error_is_the_last_message_for_those_who_ask_for_it(
    probe: Probe, connect: Connect, method: str
) -> None:
    fails_after(probe, method, "one", "two")
    answers = b"".join(message(probe.answer(text=text).SerializeToString()) for text in ("one", "two"))
    assert (await watched(probe, connect, method)).data == answers
    assert (await watched(probe, connect, method, (STREAM_ERRORS, "other"))).data == answers
    stream = await watched(probe, connect, method, TOLD)
    assert (stream.status, stream.reason) == ("5", "NOT_FOUND")
    last = stream.data.removeprefix(answers)[5:]
    head = error_message(b"\0")[:5]  # the field's number; then a length of two bytes
    assert last.startswith(head)
    status = status_pb2.Status.FromString(last[len(head) + 2 :])
    assert status.code == 5
    assert last == error_message(status.SerializeToString())
    # Who knows nothing of the field reads an answer with nothing in it.
    assert probe.answer.FromString(last).text == ""


async def test_a_stream_that_is_ended_from_outside_says_so_too(probe: Probe, connect: Connect) -> None:
    begun = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        yield probe.answer(text="first")
        begun.set()
        await asyncio.Event().wait()

    probe.on["Watch"] = wait
    raw, token = await connect(probe), probe.tokens.issue(Role.BUYER)
    number = raw.call(to("Watch", token, [TOLD]))
    await asyncio.wait_for(begun.wait(), SOON)
    probe.server.calls.end_account(probe.tokens.callers[token].known_user_id, lambda _rule: Overloaded())
    stream = await raw.end_of(number, SOON)
    assert stream.reason == "OVERLOADED"
    assert b"OVERLOADED" in stream.data


async def test_a_watch_that_has_nothing_to_say_shows_all_the_same_that_it_stands(probe: Probe) -> None:
    async def wait(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()
        yield

    probe.on["Watch"] = wait
    call = probe.call("Watch", probe.question(), token=probe.tokens.issue(Role.BUYER))
    await asyncio.wait_for(call.initial_metadata(), SOON)
    call.cancel()


async def test_how_long_to_wait_stands_in_a_header_as_well(probe: Probe) -> None:
    async def refuse(request: Any, context: Any) -> Any:
        raise Overloaded

    probe.on["Get"] = refuse
    refused = await probe.refused("Get", probe.question())
    assert refused.retry_seconds == 0.5
    assert refused.trailing["retry-after"] == "1"
