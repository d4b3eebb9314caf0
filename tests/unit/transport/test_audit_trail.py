"""The trail by itself: what a call was about, what it must not keep, and how long an answer waits for its entry."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast
from uuid import uuid4

import pytest
from google.protobuf.message import Message
from marketd import app as composition
from marketd.audit.call import AuditedCall
from marketd.kernel.call.caller import Caller, Role
from marketd.transport.access import AccessTable
from marketd.transport.audit_trail import AuditTrail, subject_of
from marketd.transport.passage import Passage
from marketplace.auth.v1 import auth_service_pb2, user_pb2, user_service_pb2
from marketplace.catalog.v1 import brand_pb2, catalog_service_pb2
from marketplace.delivery.v1 import delivery_service_pb2
from marketplace.payment.v1 import payment_service_pb2
from marketplace.seller.v1 import seller_service_pb2

ONE, OTHER = str(uuid4()), str(uuid4())
TABLE = AccessTable.from_names(composition.SERVICES)
BLOCK = "/marketplace.auth.v1.UserService/BlockUser"


class Sink:
    """Keeps the entries; they are written when the test says so."""

    def __init__(self, *, writes: bool = True) -> None:
        self.calls: list[AuditedCall] = []
        self._writes = writes

    def note(self, call: AuditedCall) -> asyncio.Future[None]:
        self.calls.append(call)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._writes:
            written.set_result(None)
        return written


class Context:
    """As much of grpc's context as a passage asks."""

    def peer(self) -> str:
        return "ipv4:192.0.2.7:4711"


def _passage(message: Message | None, method: str = BLOCK, *, code: str = "OK", reason: str = "") -> Passage:
    rule = TABLE.get(method)
    assert rule is not None
    passage = Passage(rule, Context())
    passage.message, passage.code, passage.reason = message, code, reason
    passage.call.caller = Caller(uuid4(), uuid4(), frozenset({Role.ADMIN}), "192.0.2.7")
    return passage


def _trail(sink: Sink, passage: Passage) -> AuditTrail:
    return AuditTrail(sink, passage.rule)


@pytest.mark.parametrize(
    ("request_", "about"),
    [
        (user_service_pb2.BlockUserRequest(user_id=ONE), ("user", ONE)),
        (user_service_pb2.SetUserRolesRequest(request_id=OTHER, user_id=ONE), ("user", ONE)),
        (user_service_pb2.UpdateUserRequest(user=user_pb2.User(user_id=ONE)), ("user", ONE)),
        (catalog_service_pb2.UpdateBrandRequest(brand=brand_pb2.Brand(brand_id=ONE)), ("brand", ONE)),
        (catalog_service_pb2.DeleteCategoryRequest(category_id=ONE), ("category", ONE)),
        (delivery_service_pb2.AssignCourierRequest(delivery_id=ONE, courier_id=OTHER), ("delivery", ONE)),
        (
            payment_service_pb2.RefundPaymentRequest(
                request_id=OTHER, payment_id=ONE, order=payment_service_pb2.OrderRefund(order_id=OTHER)
            ),
            ("payment", ONE),
        ),
        (seller_service_pb2.ApproveSellerRequest(seller_id=ONE), ("seller", ONE)),
        (auth_service_pb2.LoginRequest(login="jo@shop.example"), ("", "")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Message) else None,
)
def test_a_request_says_what_it_is_about(request_: Message, about: tuple[str, str]) -> None:
    assert subject_of(cast("Any", request_.DESCRIPTOR))(request_) == about


async def test_me_is_the_caller_and_what_is_no_id_is_not_kept() -> None:
    sink = Sink()
    own = _passage(user_service_pb2.DeleteUserRequest(user_id="me"), "/marketplace.auth.v1.UserService/DeleteUser")
    _trail(sink, own).note(own)
    assert sink.calls[-1].resource_id == str(own.call.caller.user_id)
    pasted = _passage(
        auth_service_pb2.IssueServiceTokenRequest(client_id="the secret itself"),
        "/marketplace.auth.v1.AuthService/IssueServiceToken",
    )
    _trail(sink, pasted).note(pasted)
    assert "secret" not in str(sink.calls[-1])


async def test_what_the_use_case_knows_better_goes_before_what_the_request_says() -> None:
    sink, passage = Sink(), _passage(user_service_pb2.BlockUserRequest(user_id=ONE, reason="because"))
    passage.call.about = f"seller/{OTHER}"
    _trail(sink, passage).note(passage)
    (entry,) = sink.calls
    assert (entry.resource_type, entry.resource_id, entry.comment) == ("seller", OTHER, "because")
    assert (entry.method, entry.caller, entry.code) == (BLOCK, passage.call.caller, "OK")


async def test_a_call_has_one_entry_and_none_where_its_effect_wrote_one() -> None:
    sink, passage = Sink(), _passage(user_service_pb2.BlockUserRequest(user_id=ONE))
    trail = _trail(sink, passage)
    await trail.attest(passage)
    assert trail.note(passage) is None
    assert len(sink.calls) == 1
    written = _passage(user_service_pb2.BlockUserRequest(user_id=ONE))
    written.call.audited = True
    assert _trail(sink, written).note(written) is None
    # The effect is there, but the caller was told something else.
    failed = _passage(user_service_pb2.BlockUserRequest(user_id=ONE), code="INTERNAL", reason="INTERNAL")
    failed.call.audited = True
    _trail(sink, failed).note(failed)
    assert [entry.code for entry in sink.calls] == ["OK", "INTERNAL"]


async def test_a_refusal_before_it_was_known_who_calls_has_the_address() -> None:
    sink, passage = Sink(), _passage(None, code="UNAUTHENTICATED", reason="TOKEN_INVALID")
    passage.call.caller = Caller(None, None, frozenset())
    _trail(sink, passage).note(passage)
    assert (sink.calls[0].caller.address, sink.calls[0].reason) == ("192.0.2.7", "TOKEN_INVALID")


@pytest.mark.parametrize(
    ("code", "at_least", "at_most"),
    [("NOT_FOUND", 0.4, 3.0), ("RESOURCE_EXHAUSTED", 0.0, 0.4), ("UNAVAILABLE", 0.0, 0.4)],
)
async def test_an_answer_waits_a_moment_for_its_entry_and_not_at_all_when_it_must_be_quick(
    code: str, at_least: float, at_most: float
) -> None:
    sink, passage = Sink(writes=False), _passage(None, code=code, reason=code)
    started = time.monotonic()
    await _trail(sink, passage).attest(passage)
    assert at_least <= time.monotonic() - started <= at_most
    assert len(sink.calls) == 1


async def test_an_answer_does_not_wait_beyond_its_deadline() -> None:
    sink, passage = Sink(writes=False), _passage(None, code="NOT_FOUND", reason="NOT_FOUND")
    passage.call.deadline = time.monotonic() - 1
    started = time.monotonic()
    await _trail(sink, passage).attest(passage)
    assert time.monotonic() - started < 0.4
