"""Calls as bytes: any rpc of any kind by its path, with whatever bytes, and everything that came back.

The typed client would refuse to send what these tests must send, and would hide how a status was written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd.transport.rules import Kind, Rule

DOMAIN: Final = "marketplace.dev"
CALL_SECONDS: Final = 10.0

LEAK: Final = re.compile(r"Traceback|asyncpg|SELECT |postgres://|/usr/")
"""What no status may say (invariant I7)."""

Pairs = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Outcome:
    """How a call ended. A stream that was left after its first answers ended OK as far as they go."""

    code: grpc.StatusCode
    text: str
    answers: tuple[bytes, ...]
    trailing: tuple[tuple[str, str | bytes], ...]

    @property
    def details(self) -> bytes:
        """The packed google.rpc.Status; empty when there is none."""
        found = [value for key, value in self.trailing if key == "grpc-status-details-bin"]
        assert len(found) <= 1, self.trailing
        return bytes(found[0]) if found and isinstance(found[0], bytes) else b""

    @property
    def status(self) -> Any:
        """The rich status."""
        return status_pb2.Status.FromString(self.details)

    def all_of(self, kind: type[Message]) -> list[Any]:
        """The details of one kind."""
        found = []
        for detail in self.status.details:
            if detail.Is(kind.DESCRIPTOR):
                message = kind()
                detail.Unpack(message)
                found.append(message)
        return found

    @property
    def reason(self) -> str:
        """The reason of the one ErrorInfo; empty when the call succeeded."""
        infos = self.all_of(error_details_pb2.ErrorInfo)
        return infos[0].reason if infos else ""

    @property
    def request_id(self) -> str:
        """The correlation id that came back."""
        return str(dict(self.trailing).get("x-request-id", ""))

    @property
    def replayed(self) -> bool:
        """Whether this is the stored first answer."""
        return dict(self.trailing).get("replayed") == "true"

    def __str__(self) -> str:
        return f"{self.code.name}/{self.reason or '-'}: {self.text!r}, {len(self.answers)} answers"


async def send(
    channel: grpc.aio.Channel,
    rule: Rule,
    bodies: Sequence[Message | bytes],
    *,
    token: str | None = None,
    metadata: Pairs = (),
    take: int | None = None,
    seconds: float = CALL_SECONDS,
    path: str = "",
) -> Outcome:
    """Call the rule's method with these messages or bytes.

    `take`: of an answer stream read so many and leave; None reads to its end. A unary request sends the first body.
    """
    pairs = [*metadata]
    if token is not None:
        pairs.append(("authorization", f"Bearer {token}"))
    raw = [body if isinstance(body, bytes) else body.SerializeToString() for body in bodies]
    method = path or rule.method
    sent = grpc.aio.Metadata(*pairs)
    match rule.kind:
        case Kind.UNARY:
            call: Any = channel.unary_unary(method)(raw[0], timeout=seconds, metadata=sent)
        case Kind.SERVER_STREAM:
            call = channel.unary_stream(method)(raw[0], timeout=seconds, metadata=sent)
        case Kind.CLIENT_STREAM:
            call = channel.stream_unary(method)(iter(raw), timeout=seconds, metadata=sent)
        case _:
            call = channel.stream_stream(method)(iter(raw), timeout=seconds, metadata=sent)
    answers: list[bytes] = []
    try:
        if rule.kind in (Kind.UNARY, Kind.CLIENT_STREAM):
            answers.append(await call)
        else:
            while take is None or len(answers) < take:
                answer = await call.read()
                if answer is grpc.aio.EOF:
                    break
                answers.append(answer)
            else:
                call.cancel()
                return Outcome(grpc.StatusCode.OK, "", tuple(answers), ())
            # The end of the answers is not the status yet.
            if await call.code() is not grpc.StatusCode.OK:
                return await _ended(call, answers)
    except grpc.aio.AioRpcError:
        return await _ended(call, answers)
    return Outcome(grpc.StatusCode.OK, "", tuple(answers), _pairs(await call.trailing_metadata()))


async def _ended(call: Any, answers: list[bytes]) -> Outcome:
    return Outcome(
        await call.code(), await call.details() or "", tuple(answers), _pairs(await call.trailing_metadata())
    )


def _pairs(metadata: Any) -> tuple[tuple[str, str | bytes], ...]:
    return tuple((str(key), value) for key, value in metadata or ())


def check_refusal(outcome: Outcome, what: str = "") -> None:
    """A status as the contract wants every one: rich, one reason of ours, findable in the log, and without leaks."""
    shown = f"{what}: {outcome}"
    assert outcome.code is not grpc.StatusCode.OK, shown
    assert outcome.code not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL), shown
    infos = outcome.all_of(error_details_pb2.ErrorInfo)
    assert len(infos) == 1, f"{len(infos)} ErrorInfo in {shown}"
    assert infos[0].domain == DOMAIN, shown
    assert infos[0].reason, shown
    assert outcome.status.code == outcome.code.value[0], shown
    assert outcome.status.message == outcome.text, shown
    assert outcome.request_id, shown
    assert not LEAK.search(outcome.text), shown
    assert not LEAK.search(outcome.details.decode("latin-1")), shown


def check_contract(outcome: Outcome, what: str = "") -> None:
    """Success, or a refusal as it must be."""
    if outcome.code is not grpc.StatusCode.OK:
        check_refusal(outcome, what)
