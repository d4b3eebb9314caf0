"""Calls as bytes: any rpc of any kind by its path, with whatever bytes, and everything that came back.

The typed client would refuse to send what these tests must send, and would hide how a status was written.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd.transport.rules import Kind, Rule

from tests.canaries import WATCH, status_text

DOMAIN: Final = "marketplace.dev"
CALL_SECONDS: Final = 10.0

LEAK: Final = re.compile(r"Traceback|asyncpg|SELECT |postgres://|/usr/")
"""What no status may say (invariant I7)."""

Pairs = Sequence[tuple[str, str | bytes]]

# Blocking clients have threads of their own: the server that they wait for needs those of the loop.
_CLIENTS: Final = ThreadPoolExecutor(32, "clients")


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


class Wire:
    """A connection to one server. Requests are bytes and answers are bytes."""

    def __init__(self, target: str, options: Sequence[tuple[str, Any]] = ()) -> None:
        self.channel = grpc.aio.insecure_channel(target, options=options)
        # grpc.aio calls a stream INTERNAL when it was refused while a request was being written; the other stack waits
        # for the status that the server wrote.
        self._blocking = grpc.insecure_channel(target, options=options)

    async def close(self) -> None:
        """Hang up."""
        await self.channel.close()
        self._blocking.close()

    async def send(
        self,
        rule: Rule,
        bodies: Sequence[Message | bytes],
        *,
        token: str | None = None,
        metadata: Pairs = (),
        take: int | None = None,
        seconds: float = CALL_SECONDS,
    ) -> Outcome:
        """Call the rule's method with these messages or bytes.

        `take`: of an answer stream read so many and leave; None reads to its end. A unary request sends the first body.
        """
        pairs = (*metadata, *((("authorization", f"Bearer {token}"),) if token is not None else ()))
        raw = [body if isinstance(body, bytes) else body.SerializeToString() for body in bodies]
        match rule.kind:
            case Kind.UNARY:
                return await self._unary(rule.method, raw[0], pairs, seconds)
            case Kind.SERVER_STREAM:
                return await self._watch(rule.method, raw[0], pairs, take, seconds)
            case Kind.BIDI:
                return await _beside(self._talk, rule.method, raw, pairs, take, seconds)
            case Kind.CLIENT_STREAM:
                return await _beside(self._tell, rule.method, raw, pairs, seconds)

    async def _unary(self, method: str, raw: bytes, metadata: Pairs, seconds: float) -> Outcome:
        ask: Any = self.channel.unary_unary(method)
        call = ask(raw, timeout=seconds, metadata=metadata)
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            return Outcome(error.code(), error.details() or "", (), _pairs(error.trailing_metadata()))
        return Outcome(grpc.StatusCode.OK, "", (answer,), _pairs(await call.trailing_metadata()))

    async def _watch(self, method: str, raw: bytes, metadata: Pairs, take: int | None, seconds: float) -> Outcome:
        ask: Any = self.channel.unary_stream(method)
        call = ask(raw, timeout=seconds, metadata=metadata)
        answers: list[bytes] = []
        try:
            async for answer in call:
                answers.append(answer)
                if len(answers) == take:
                    call.cancel()
                    return Outcome(grpc.StatusCode.OK, "", tuple(answers), ())
        except grpc.aio.AioRpcError as error:
            return Outcome(error.code(), error.details() or "", tuple(answers), _pairs(error.trailing_metadata()))
        return Outcome(grpc.StatusCode.OK, "", tuple(answers), _pairs(await call.trailing_metadata()))

    def _talk(self, method: str, raw: list[bytes], metadata: Pairs, take: int | None, seconds: float) -> Outcome:
        ask: Any = self._blocking.stream_stream(method)
        call = ask(iter(raw), timeout=seconds, metadata=metadata)
        answers: list[bytes] = []
        try:
            for answer in call:
                answers.append(answer)
                if len(answers) == take:
                    call.cancel()
                    return Outcome(grpc.StatusCode.OK, "", tuple(answers), ())
        except grpc.RpcError:
            pass  # the status says it below
        # Of the blocking stack nobody else reads the statuses.
        WATCH.notice(status_text(call.details(), _pairs(call.trailing_metadata())), "a status that a client got")
        return Outcome(call.code(), call.details() or "", tuple(answers), _pairs(call.trailing_metadata()))

    def _tell(self, method: str, raw: list[bytes], metadata: Pairs, seconds: float) -> Outcome:
        ask: Any = self._blocking.stream_unary(method)
        call: Any
        answers: tuple[bytes, ...] = ()
        try:
            answer, call = ask.with_call(iter(raw), timeout=seconds, metadata=metadata)
            answers = (answer,)
        except grpc.RpcError as error:
            call = error
        WATCH.notice(status_text(call.details(), _pairs(call.trailing_metadata())), "a status that a client got")
        return Outcome(call.code(), call.details() or "", answers, _pairs(call.trailing_metadata()))


async def _beside(work: Callable[..., Outcome], *arguments: object) -> Outcome:
    return await asyncio.get_running_loop().run_in_executor(_CLIENTS, work, *arguments)


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
