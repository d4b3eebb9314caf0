"""The links one by one, as a client sees them: ids, tokens, access, rates, room, answers, sizes, keys, deadlines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from marketd.kernel.call import call as kernel_call
from marketd.kernel.call.call import OnceKey
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import FieldViolation, Refusal, ValidationFailed
from marketd.transport.edge.admission import Bounds
from marketd.transport.rules import RateClass

if TYPE_CHECKING:
    from tests.worlds.probe import Probe

StartProbe = Callable[..., Awaitable["Probe"]]


@pytest.mark.parametrize("path", ["/transport.probe.v1.ProbeService/Nothing", "/no.such.Service/Get", "/", "/a/b/c"])
@pytest.mark.parametrize("method", ["Get", "Watch", "Upload", "Chat"])
async def test_an_unknown_method_is_unimplemented_with_its_reason(probe: Probe, path: str, method: str) -> None:
    refused = await probe.refused(method, b"", path=path, token="whatever")
    assert refused.why == ("UNIMPLEMENTED", "METHOD_UNKNOWN")
    assert (await probe.log())[-1]["method"] == "unknown"


@pytest.mark.parametrize("given", ["x" * 129, "with space", 'quote"', "back\\slash", "new|line"])
async def test_a_request_id_that_could_forge_log_lines_is_replaced(probe: Probe, given: str) -> None:
    answered = (await probe.trailing("Get", probe.question(), metadata=[("x-request-id", given)]))["x-request-id"]
    assert answered != given
    assert (await probe.log())[-1]["request_id"] == answered


async def test_a_public_method_takes_no_token_but_refuses_a_bad_one(probe: Probe) -> None:
    assert await probe.result("Get", probe.question(text="hi")) == ["hi"]
    refused = await probe.refused("Get", probe.question(), token="forged")
    assert refused.why == ("UNAUTHENTICATED", "TOKEN_INVALID")


@pytest.mark.parametrize(
    ("roles", "why"),
    [
        ((Role.BUYER,), None),
        ((Role.SERVICE,), None),
        ((), None),
        ((Role.GUEST,), ("PERMISSION_DENIED", "ROLE_REQUIRED")),
        ((Role.VIEWER,), ("PERMISSION_DENIED", "ROLE_REQUIRED")),
    ],
)
async def test_authenticated_means_a_users_or_services_token(
    probe: Probe, roles: tuple[Role, ...], why: tuple[str, str] | None
) -> None:
    token = probe.tokens.issue(*roles)
    if why is None:
        assert await probe.result("GetMine", probe.question(text="mine"), token=token) == ["mine"]
    else:
        assert (await probe.refused("GetMine", probe.question(), token=token)).why == why


async def test_a_guests_token_opens_what_names_guests(probe: Probe) -> None:
    token = probe.tokens.issue(Role.GUEST)
    assert await probe.result("GetCart", probe.question(text="cart"), token=token) == ["cart"]
    refused = await probe.refused("GetCart", probe.question(), token=probe.tokens.issue(Role.BUYER))
    assert refused.why == ("PERMISSION_DENIED", "ROLE_REQUIRED")


@pytest.mark.parametrize("role", [Role.SELLER, Role.ADMIN])
async def test_any_of_the_named_roles_will_do(probe: Probe, role: Role) -> None:
    token = probe.tokens.issue(role, Role.BUYER)
    assert await probe.result("Sell", probe.question(text="sold"), token=token) == ["sold"]


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (0, "1.1.1.1", "127.0.0.1"),
        (1, "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        (2, "6.6.6.6, 2.2.2.2, 1.1.1.1", "2.2.2.2"),
        (1, "", "127.0.0.1"),
    ],
)
async def test_the_callers_address_is_what_the_trusted_proxy_saw(
    start_probe: StartProbe, hops: int, forwarded: str, address: str
) -> None:
    probe = await start_probe(trusted_proxy_hops=hops)
    seen: list[str] = []

    async def note(request: Any, context: Any) -> Any:
        seen.append(kernel_call.current_caller().address)
        return probe.answer()

    probe.on["Get"] = note
    metadata = [("x-forwarded-for", forwarded)] if forwarded else []
    await probe.result("Get", probe.question(), metadata=metadata)
    assert seen == [address]


async def test_calls_over_the_rate_are_told_when_to_come_back(start_probe: StartProbe) -> None:
    probe = await start_probe(rate_limits={RateClass.LOGIN: (0.5, 2), RateClass.WRITE: (0.5, 1)})
    for _ in range(2):
        await probe.result("Login", probe.question())
    refused = await probe.refused("Login", probe.question())
    assert refused.why == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert refused.metadata == {"rateClass": "LOGIN"}
    assert refused.retry_seconds is not None
    assert 0 < refused.retry_seconds <= 2
    one, other = probe.tokens.issue(Role.BUYER), probe.tokens.issue(Role.BUYER)
    await probe.result("Ask", probe.question(), token=one)
    assert (await probe.refused("Ask", probe.question(), token=one)).reason == "RATE_LIMITED"
    await probe.result("Ask", probe.question(), token=other)
    await probe.result("Get", probe.question())


@pytest.mark.parametrize(("method", "bounds"), [("Ask", Bounds(unary=(2, 2))), ("Chat", Bounds(streams=(2, 2)))])
async def test_a_full_server_refuses_at_once_and_stays_open_for_the_other_kind_and_health(
    start_probe: StartProbe, method: str, bounds: Bounds
) -> None:
    probe = await start_probe(bounds=bounds)
    token, go_on = probe.tokens.issue(Role.BUYER), asyncio.Event()
    begun = asyncio.Semaphore(0)

    async def wait(request: Any, context: Any) -> Any:
        begun.release()
        await go_on.wait()
        return probe.answer()

    async def wait_generator(request: Any, context: Any) -> Any:
        yield await wait(request, context)

    probe.on[method] = wait if method == "Ask" else wait_generator
    held = [asyncio.ensure_future(probe.result(method, probe.question(), token=token)) for _ in range(2)]
    for _ in held:
        await asyncio.wait_for(begun.acquire(), 5)
    gauges = {each.name: each.value for metric in probe.server.accounting.collect() for each in metric.samples}
    is_unary = method == "Ask"
    assert gauges["marketd_rpc_in_flight"] == (2 if is_unary else 0)
    assert gauges["marketd_streams_open"] == (0 if is_unary else 2)
    refused = await probe.refused(method, probe.question(), token=token)
    assert refused.why == ("UNAVAILABLE", "OVERLOADED")
    assert refused.retry_seconds == 0.5
    await probe.result("Watch" if method == "Ask" else "Add", probe.question(), token=token)
    go_on.set()
    await asyncio.gather(*held)
    await probe.result(method, probe.question(), token=token)


async def test_one_account_cannot_take_the_room_of_all_streams(start_probe: StartProbe) -> None:
    probe = await start_probe(bounds=Bounds(streams_of_account=2))
    greedy, other = probe.tokens.issue(Role.BUYER), probe.tokens.issue(Role.BUYER)
    service = probe.tokens.issue(Role.BUYER, Role.SERVICE)

    async def stay(request: Any, context: Any) -> Any:
        yield probe.answer(text="open")
        await asyncio.Event().wait()

    probe.on["Watch"] = probe.on["Chat"] = stay

    async def opened(method: str, token: str) -> Any:
        call = probe.call(method, probe.question(), token=token)
        assert (await call.read()).text == "open"
        return call

    calls = [await opened("Watch", greedy), await opened("Chat", greedy)]  # of whichever method
    refused = await probe.refused("Watch", probe.question(), token=greedy)
    assert refused.why == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert refused.metadata == {"rateClass": "STREAM"}
    assert refused.retry_seconds == 15
    assert await probe.result("Ask", probe.question(text="hi"), token=greedy) == ["hi"]
    calls += [await opened("Watch", other), *[await opened("Watch", service) for _ in range(3)]]
    calls.pop(0).cancel()
    async with asyncio.timeout(5):  # until the server has heard of it
        while probe.server.calls.streams_of(probe.tokens.callers[greedy].known_user_id) > 1:
            await probe.result("Ask", probe.question(), token=greedy)
    calls.append(await opened("Watch", greedy))
    for call in calls:
        call.cancel()


async def test_nul_and_unknown_enum_numbers_are_refused_by_path(probe: Probe) -> None:
    token = probe.tokens.issue(Role.BUYER)
    question = probe.question(items=[{"quantity": 1}, {"quantity": 1, "name": "a\0b"}], payload=b"\0fine")
    refused = await probe.refused("Ask", question, token=token)
    assert (*refused.why, set(refused.fields)) == ("INVALID_ARGUMENT", "VALIDATION_FAILED", {"items[1].name"})
    question = probe.question(items=[{"quantity": 1, "color": 77}], color=5)
    refused = await probe.refused("Ask", question, token=token)
    assert (*refused.why, set(refused.fields)) == (
        "INVALID_ARGUMENT",
        "VALIDATION_FAILED",
        {"color", "items[0].color"},
    )
    await probe.result("Ask", probe.question(payload=b"\0fine", color=1), token=token)


async def test_a_megabyte_is_the_limit_except_for_inline_uploads(probe: Probe) -> None:
    big = probe.question(payload=bytes(1_100_000))
    refused = await probe.refused("Ask", big, token=probe.tokens.issue(Role.BUYER))
    assert refused.why == ("INVALID_ARGUMENT", "VALIDATION_FAILED")
    assert await probe.result("Inline", probe.question(text="in", payload=bytes(3_000_000))) == ["in"]


async def test_sixteen_kibibytes_of_metadata_are_never_refused_at_random(probe: Probe) -> None:
    filler = [(f"x-filler-{index}", "v" * 1000) for index in range(13)]
    for _ in range(30):
        assert await probe.result("Get", probe.question(text="ok"), metadata=filler) == ["ok"]


async def test_the_largest_refusal_arrives_whole_and_capped(probe: Probe) -> None:
    class Huge(Refusal):
        code, reason = ValidationFailed.code, ValidationFailed.reason

    async def refuse(request: Any, context: Any) -> Any:
        fields = [FieldViolation(f"field{index}" + "é" * 300, "ü" * 3000) for index in range(500)]
        raise Huge("ж" * 50_000, fields=fields, metadata={f"key{index}": "я" * 9000 for index in range(100)})

    probe.on["Get"] = refuse
    refused = await probe.refused("Get", probe.question())
    assert refused.why == ("INVALID_ARGUMENT", "VALIDATION_FAILED")
    assert len(refused.message.encode()) <= 1024
    assert refused.details_bytes <= 4096


async def test_more_than_twenty_violations_are_cut(probe: Probe) -> None:
    question = probe.question(items=[{"quantity": 0}] * 50)
    refused = await probe.refused("Ask", question, token=probe.tokens.issue(Role.BUYER))
    assert list(refused.fields) == [f"items[{index}].quantity" for index in range(20)]


async def test_the_idempotency_key_is_of_the_caller_the_method_the_id_and_the_content(probe: Probe) -> None:
    keys: list[OnceKey | None] = []

    async def note(request: Any, context: Any) -> Any:
        keys.append(kernel_call.current().once)
        return probe.answer()

    probe.on["Place"] = probe.on["Add"] = probe.on["Ask"] = note
    token, other = probe.tokens.issue(Role.BUYER), probe.tokens.issue(Role.BUYER)
    request_id = str(uuid4())
    question = probe.question(request_id=request_id, text="order")
    # the same message with its fields in another order on the wire
    shuffled = (
        probe.question(text="order").SerializeToString() + probe.question(request_id=request_id).SerializeToString()
    )
    await probe.result("Place", question, token=token)
    await probe.result("Place", shuffled, token=token)
    await probe.result("Place", probe.question(request_id=request_id, text="another"), token=token)
    await probe.result("Place", question, token=other)
    await probe.result("Add", question, token=token)
    # ids are compared as UUIDs
    await probe.result("Place", probe.question(request_id=request_id.upper(), text="order"), token=token)
    first, again, another, others, added, shouted = keys
    assert first == again == shouted
    assert first is not None
    assert another is not None
    assert others is not None
    assert added is not None
    assert (first.request_id, first.caller_key) == (request_id, str(probe.tokens.callers[token].user_id))
    assert another.request_id == first.request_id
    assert another.fingerprint != first.fingerprint
    assert others.caller_key != first.caller_key
    assert added.method != first.method
    await probe.result("Add", probe.question(), token=token)
    await probe.result("Ask", question, token=token)
    assert keys[-2:] == [None, None]
    refused = await probe.refused("Place", probe.question(), token=token)
    assert (*refused.why, set(refused.fields)) == ("INVALID_ARGUMENT", "VALIDATION_FAILED", {"request_id"})


async def test_a_replay_and_a_servicers_metadata_are_in_the_trailers(probe: Probe) -> None:
    async def replay(request: Any, context: Any) -> Any:
        kernel_call.current().replayed = True
        kernel_call.current().trailing.append(("x-extra", "1"))
        return probe.answer()

    probe.on["Get"] = replay
    trailing = await probe.trailing("Get", probe.question())
    assert (trailing["replayed"], trailing["x-extra"]) == ("true", "1")


async def test_a_tagged_answer_is_kept_for_the_same_bytes_until_its_tag_is_dropped(start_probe: StartProbe) -> None:
    probe = await start_probe(rate_limits={RateClass.READ: (0.01, 6)})
    served: list[str] = []

    async def get(request: Any, context: Any) -> Any:
        served.append(request.text)
        if request.text == "tagged":
            kernel_call.current().cache_tag = "product:1"
        return probe.answer(text=f"{request.text} {len(served)}")

    probe.on["Get"] = get
    tagged = probe.question(text="tagged")
    assert await probe.result("Get", tagged) == ["tagged 1"]
    assert await probe.result("Get", tagged) == ["tagged 1"]
    assert await probe.result("Get", probe.question(text="plain")) == ["plain 2"]
    assert await probe.result("Get", probe.question(text="plain")) == ["plain 3"]
    probe.server.answers.drop("product:1")
    assert await probe.result("Get", tagged) == ["tagged 4"]
    assert (await probe.refused("Get", tagged, token="forged")).reason == "TOKEN_INVALID"
    await probe.result("Get", tagged)
    assert (await probe.refused("Get", tagged)).reason == "RATE_LIMITED"


@pytest.mark.parametrize(("method", "limit"), [("Ask", 5.0), ("Inline", 120.0), ("Upload", 120.0)])
async def test_the_deadline_is_the_methods_or_the_clients_when_that_is_sooner(
    probe: Probe, method: str, limit: float
) -> None:
    left: list[float] = []

    async def note(request: Any, context: Any) -> Any:
        left.append(kernel_call.current().remaining_seconds(-1))
        return probe.answer()

    probe.on[method] = note
    token = probe.tokens.issue(Role.BUYER)
    for timeout in (None, 1000, 2):
        await probe.result(method, probe.question(), token=token, timeout=timeout)
    assert left[0] == pytest.approx(limit, abs=0.5)
    assert left[1] == pytest.approx(limit, abs=0.5)
    assert left[2] == pytest.approx(2, abs=0.5)


async def test_a_unary_call_that_outlives_its_deadline_is_ended_by_the_server(probe: Probe) -> None:
    async def stuck(request: Any, context: Any) -> Any:
        kernel_call.current().deadline = time.monotonic() + 0.1  # the method's five seconds, shortened
        await asyncio.Event().wait()

    probe.on["Ask"] = stuck
    refused = await probe.refused("Ask", probe.question(), token=probe.tokens.issue(Role.BUYER), timeout=None)
    assert refused.why == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")


@pytest.mark.parametrize(("in_time", "code"), [(False, "DEADLINE_EXCEEDED"), (True, "CANCELLED")])
async def test_who_ran_out_of_time_and_who_went_away_are_told_apart_in_the_log(
    probe: Probe, in_time: bool, code: str
) -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def stuck(request: Any, context: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            try:
                if not in_time:  # the client's clock may be a little ahead of ours
                    await asyncio.sleep(max(kernel_call.current().remaining_seconds(0), 0) + 0.01)
            finally:  # both may end it, one after the other
                over.set()

    probe.on["Ask"] = stuck
    call = probe.call("Ask", probe.question(), token=probe.tokens.issue(Role.BUYER), timeout=30 if in_time else 0.3)
    await asyncio.wait_for(begun.wait(), 10)
    if in_time:
        call.cancel()
    await asyncio.wait_for(over.wait(), 10)
    assert [line["code"] for line in await probe.log()] == [code]


async def test_metrics_and_log_count_every_call_and_hold_nothing_of_its_content(probe: Probe) -> None:
    token = probe.tokens.issue(Role.BUYER)
    await probe.result("Ask", probe.question(text="canary-text"), token=token)
    await probe.refused("Ask", b"\xff", token=token)
    await probe.result("Watch", probe.question(), token=token)
    lines = await probe.log()
    assert "canary" not in repr(lines)
    assert token not in repr(lines)
    assert set(lines[0]) == {"event", "time", "method", "code", "reason", "ms", "request_id", "user_id"}
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in probe.server.accounting.collect()
        for sample in metric.samples
    }
    ask = "/transport.probe.v1.ProbeService/Ask"
    assert samples["marketd_rpc_total", ask, "OK", ""] == 1
    assert samples["marketd_rpc_total", ask, "INVALID_ARGUMENT", "MALFORMED_REQUEST"] == 1
    assert samples["marketd_rpc_seconds_bucket", ask, "+Inf"] == 2
    assert samples["marketd_rpc_seconds_count", ask] == 2
    assert samples["marketd_rpc_in_flight",] == samples["marketd_streams_open",] == 0
