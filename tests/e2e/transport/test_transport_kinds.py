"""Every kind of method, in both styles of streams, against everything that can happen to one call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.message import Message
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import EtagMismatch
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from tests.worlds.probe import Probe

KINDS = ["Ask", "Watch", "WatchByWrites", "Upload", "Chat", "ChatByReads"]
every_kind = pytest.mark.parametrize("method", KINDS)
SECRET = "SELECT password FROM users"


def raising(method: str, problem: BaseException) -> Any:
    """A script of the method's style that raises as soon as it has its first request."""

    async def unary(request: Any, context: Any) -> Any:
        if not isinstance(request, Message):
            await anext(request)
        raise problem

    async def generator(request: Any, context: Any) -> Any:
        await unary(request, context)
        yield

    return generator if method in ("Watch", "Chat") else unary


@every_kind
async def test_an_answer_carries_its_request_id_in_the_trailing_metadata(probe: Probe, method: str) -> None:
    token = probe.tokens.issue(Role.BUYER)
    question = probe.question(text="hello")
    assert await probe.result(method, question, token=token) == ["hello"]
    assert await probe.result(method, question, token=token) == ["hello"]  # now by a cached token
    trailing = await probe.trailing(method, question, token=token, metadata=[("x-request-id", "abc.DEF-1")])
    assert trailing["x-request-id"] == "abc.DEF-1"
    last = (await probe.log())[-1]
    assert (last["request_id"], last["code"], last["reason"]) == ("abc.DEF-1", "OK", "")
    assert last["user_id"] == str(probe.tokens.callers[token].user_id)


@every_kind
async def test_a_refusal_is_a_rich_status(probe: Probe, method: str) -> None:
    probe.on[method] = raising(method, EtagMismatch("v7"))
    refused = await probe.refused(method, probe.question(), token=probe.tokens.issue(Role.BUYER))
    assert refused.why == ("ABORTED", "ETAG_MISMATCH")
    assert refused.metadata == {"etag": "v7"}
    last = (await probe.log())[-1]
    assert (last["code"], last["reason"]) == ("ABORTED", "ETAG_MISMATCH")


@every_kind
@pytest.mark.parametrize(
    "problem",
    [
        ValueError(SECRET),
        ExceptionGroup("a task group", [KeyError(SECRET), EtagMismatch("v7")]),
        asyncio.CancelledError(SECRET),
        TimeoutError(SECRET),
        StopAsyncIteration(SECRET),
    ],
    ids=lambda problem: type(problem).__name__,
)
async def test_an_unknown_exception_goes_out_without_its_text(
    probe: Probe, method: str, problem: BaseException
) -> None:
    probe.on[method] = raising(method, problem)
    token = probe.tokens.issue(Role.BUYER)
    refused = await probe.refused(method, probe.question(), token=token, metadata=[("x-request-id", "find-me")])
    assert refused.why == ("INTERNAL", "INTERNAL")
    assert refused.metadata == {"correlationId": "find-me"}
    assert "SELECT" not in repr(refused)
    assert type(problem).__name__ not in repr(refused)


@every_kind
async def test_what_the_log_says_of_an_unknown_exception_finds_it_and_tells_nothing_of_the_call(
    probe: Probe, method: str
) -> None:
    probe.on[method] = raising(method, LookupError("a bug of ours"))
    token = probe.tokens.issue(Role.BUYER)
    metadata = [("x-request-id", "find-me"), ("user-agent", "canary-agent"), ("x-forwarded-for", "192.0.2.77")]
    question = probe.question(text="canary-text")
    with capture_logs() as lines:
        await probe.refused(method, question, token=token, metadata=metadata)
    (line,) = lines
    assert line.pop("exc_info").args == ("a bug of ours",)
    assert line == {
        "event": "rpc failed",
        "log_level": "error",
        "method": f"/transport.probe.v1.ProbeService/{method}",
        "request_id": "find-me",
    }


@every_kind
async def test_a_refusal_inside_a_task_group_speaks_for_it(probe: Probe, method: str) -> None:
    group = ExceptionGroup("outer", [ExceptionGroup("inner", [EtagMismatch("v7")])])
    probe.on[method] = raising(method, group)
    refused = await probe.refused(method, probe.question(), token=probe.tokens.issue(Role.BUYER))
    assert refused.why == ("ABORTED", "ETAG_MISMATCH")


@every_kind
async def test_a_servicers_own_abort_is_left_alone(probe: Probe, method: str) -> None:
    token = probe.tokens.issue(Role.BUYER)

    async def abort(request: Any, context: Any) -> Any:
        await context.abort(probe.code.DATA_LOSS, "mine")

    async def abort_generator(request: Any, context: Any) -> Any:
        await context.abort(probe.code.DATA_LOSS, "mine")
        yield

    probe.on[method] = abort_generator if method in ("Watch", "Chat") else abort
    failed = await probe.failed(method, probe.question(), token=token)
    assert (failed.code(), failed.details()) == (probe.code.DATA_LOSS, "mine")
    assert (await probe.log())[-1]["code"] == "DATA_LOSS"


@every_kind
async def test_malformed_bytes_are_refused(probe: Probe, method: str) -> None:
    refused = await probe.refused(method, b"\xff\xff\xff", token=probe.tokens.issue(Role.BUYER))
    assert refused.why == ("INVALID_ARGUMENT", "MALFORMED_REQUEST")


@every_kind
async def test_a_broken_rule_names_the_field(probe: Probe, method: str) -> None:
    question = probe.question(items=[{"quantity": 1}, {"quantity": 0}], text="x" * 101)
    refused = await probe.refused(method, question, token=probe.tokens.issue(Role.BUYER))
    assert refused.why == ("INVALID_ARGUMENT", "VALIDATION_FAILED")
    assert set(refused.fields) == {"items[1].quantity", "text"}


@every_kind
async def test_a_call_without_token_is_unauthenticated_even_when_malformed(probe: Probe, method: str) -> None:
    refused = await probe.refused(method, b"\xff\xff\xff")
    assert refused.why == ("UNAUTHENTICATED", "UNAUTHENTICATED")


@every_kind
@pytest.mark.parametrize("header", ["Bearer forged", "Basic dTpw", "Bearer", "Bearer " + "x" * 9000])
async def test_a_bad_token_is_refused(probe: Probe, method: str, header: str) -> None:
    refused = await probe.refused(method, probe.question(), metadata=[("authorization", header)])
    assert refused.why == ("UNAUTHENTICATED", "TOKEN_INVALID")


@every_kind
async def test_the_wrong_role_is_denied_and_told_which_is_needed(probe: Probe, method: str) -> None:
    refused = await probe.refused(method, b"\xff\xff\xff", token=probe.tokens.issue(Role.SELLER, Role.ADMIN))
    assert refused.why == ("PERMISSION_DENIED", "ROLE_REQUIRED")
    assert refused.metadata == {"requiredRoles": "BUYER"}


@every_kind
async def test_a_cancelled_call_runs_the_handlers_finally(probe: Probe, method: str) -> None:
    begun, cleaned = asyncio.Event(), asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    async def wait_generator(request: Any, context: Any) -> Any:
        await wait(request, context)
        yield

    probe.on[method] = wait_generator if method in ("Watch", "Chat") else wait
    call = probe.call(method, probe.question(), token=probe.tokens.issue(Role.BUYER))
    reader = asyncio.ensure_future(call if method in ("Ask", "Upload") else call.read())
    await asyncio.wait_for(begun.wait(), 5)
    call.cancel()
    await asyncio.wait_for(cleaned.wait(), 5)
    await asyncio.gather(reader, return_exceptions=True)
    assert (await probe.log())[-1]["code"] == "CANCELLED"


@every_kind
async def test_bytes_are_sent_as_they_are(probe: Probe, method: str) -> None:
    raw: bytes = probe.answer(text="ready made").SerializeToString()

    async def unary(request: Any, context: Any) -> bytes:
        return raw

    async def generator(request: Any, context: Any) -> Any:
        yield raw

    async def by_context(request: Any, context: Any) -> None:
        await context.write(raw)

    probe.on[method] = by_context if "By" in method else unary if method in ("Ask", "Upload") else generator
    assert await probe.result(method, probe.question(), token=probe.tokens.issue(Role.BUYER)) == ["ready made"]


@pytest.mark.parametrize("method", ["GetOld", "AddOld", "WatchOld", "UploadOld"])
async def test_a_deprecated_call_names_what_to_call_instead_also_when_it_is_refused(probe: Probe, method: str) -> None:
    token = probe.tokens.issue(Role.BUYER)
    instead = f"transport.probe.v1.ProbeService/{method.removesuffix('Old')}"
    trailing = await probe.trailing(method, probe.question(text="hello"), token=token)
    assert trailing["deprecated"] == instead
    refused = await probe.refused(method, probe.question(text="x" * 101), token=token)
    assert refused.reason == "VALIDATION_FAILED"
    assert refused.trailing["deprecated"] == instead


async def test_other_calls_say_nothing_of_that(probe: Probe) -> None:
    assert "deprecated" not in await probe.trailing("Get", probe.question(text="hello"))
