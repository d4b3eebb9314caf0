"""A probe service with every kind of method and rule, served through the real chain on a real socket.

Its contract is built from descriptors here, so that each kind, rule and field that the chain must handle exists,
whatever the marketplace's own services happen to use. Tests script its methods: `probe.on["Watch"] = …`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from buf.validate import validate_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd.kernel.call.caller import Caller, Role
from marketd.transport.collector import Collector
from marketd.transport.edge.rates import Rates
from marketd.transport.refusals import TokenInvalid
from marketd.transport.server import BuiltServer, ServerOptions, build_server
from marketplace.policy.v1 import policy_pb2

PACKAGE = "transport.probe.v1"
SERVICE = f"{PACKAGE}.ProbeService"
_P = policy_pb2
_ROLES: dict[str, dict[str, Any]] = {
    "public": {"public": _P.Public()},
    "authenticated": {"authenticated": _P.Authenticated()},
    "buyer": {"roles": _P.Roles(any_of=[_P.ROLE_BUYER])},
    "seller": {"roles": _P.Roles(any_of=[_P.ROLE_SELLER, _P.ROLE_ADMIN])},
    "guest": {"roles": _P.Roles(any_of=[_P.ROLE_GUEST])},
}
# name: (access, idempotency, rate class, client streams, server streams)
METHODS: dict[str, tuple[str, int, int, bool, bool]] = {
    "Get": ("public", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_READ, False, False),
    "GetMine": ("authenticated", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_READ, False, False),
    "GetCart": ("guest", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_READ, False, False),
    "Ask": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_WRITE, False, False),
    "Sell": ("seller", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_WRITE, False, False),
    "Login": ("public", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_LOGIN, False, False),
    "Place": ("buyer", _P.IDEMPOTENCY_KEY_REQUIRED, _P.RATE_CLASS_CHECKOUT, False, False),
    "Add": ("buyer", _P.IDEMPOTENCY_KEY_OPTIONAL, _P.RATE_CLASS_WRITE, False, False),
    "Inline": ("public", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_UPLOAD, False, False),
    "Watch": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_STREAM, False, True),
    "WatchByWrites": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_STREAM, False, True),
    "Upload": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_UPLOAD, True, False),
    "Chat": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_STREAM, True, True),
    "ChatByReads": ("buyer", _P.IDEMPOTENCY_NONE, _P.RATE_CLASS_STREAM, True, True),
}


def _field(message: Any, name: str, kind: int, *, repeated: bool = False, of: str = "", rule: Any = None) -> None:
    field = message.field.add(name=name, number=len(message.field) + 1, type=kind)
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if of:
        field.type_name = f".{PACKAGE}.{of}"
    if rule is not None:
        field.options.Extensions[validate_pb2.field].CopyFrom(rule)


def _contract() -> descriptor_pb2.FileDescriptorProto:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="transport/probe/v1/probe.proto", package=PACKAGE, syntax="proto3")
    file.dependency.extend(["marketplace/policy/v1/policy.proto", "buf/validate/validate.proto"])
    color = file.enum_type.add(name="Color")
    color.value.add(name="COLOR_UNSPECIFIED", number=0)
    color.value.add(name="COLOR_RED", number=1)
    rules = validate_pb2.FieldRules
    item = file.message_type.add(name="Item")
    at_least_one = rules(int32=validate_pb2.Int32Rules(gte=1))
    _field(item, "quantity", field.TYPE_INT32, rule=at_least_one)
    _field(item, "name", field.TYPE_STRING)
    _field(item, "color", field.TYPE_ENUM, of="Color")
    ask = file.message_type.add(name="Question")
    _field(ask, "request_id", field.TYPE_STRING)
    _field(ask, "text", field.TYPE_STRING, rule=rules(string=validate_pb2.StringRules(max_len=100)))
    _field(ask, "items", field.TYPE_MESSAGE, repeated=True, of="Item")
    _field(ask, "color", field.TYPE_ENUM, of="Color")
    _field(ask, "payload", field.TYPE_BYTES)
    told = file.message_type.add(name="Answer")
    _field(told, "text", field.TYPE_STRING)
    _field(told, "payload", field.TYPE_BYTES)
    service = file.service.add(name="ProbeService")
    for name, (access, idempotency, rate_class, up, down) in METHODS.items():
        method = service.method.add(name=name, input_type=f".{PACKAGE}.Question", output_type=f".{PACKAGE}.Answer")
        method.client_streaming, method.server_streaming = up, down
        arguments: dict[str, Any] = {**_ROLES[access], "idempotency": idempotency, "rate_class": rate_class}
        method.options.Extensions[policy_pb2.rule].CopyFrom(policy_pb2.Rule(**arguments))
    return file


def _messages() -> tuple[Any, Any]:
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(_contract().SerializeToString())
    find = pool.FindMessageTypeByName
    return GetMessageClass(find(f"{PACKAGE}.Question")), GetMessageClass(find(f"{PACKAGE}.Answer"))


Question, Answer = _messages()


class Servicer:
    """Calls the script of each method; one that has none answers the question's text."""

    def __init__(self) -> None:
        self.on: dict[str, Callable[[Any, Any], Any]] = {}

    def unary(self, name: str) -> Callable[[Any, Any], Awaitable[Any]]:
        async def method(request: Any, context: Any) -> Any:
            script = self.on.get(name)
            if script is not None:
                return await script(request, context)
            text = request.text if isinstance(request, Question) else "".join([r.text async for r in request])
            return Answer(text=text)

        return method

    def generator(self, name: str) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def method(request: Any, context: Any) -> AsyncIterator[Any]:
            script = self.on.get(name)
            if script is not None:
                async for answer in script(request, context):
                    yield answer
            elif isinstance(request, Question):
                yield Answer(text=request.text)
            else:
                async for question in request:
                    yield Answer(text=question.text)

        return method

    def by_context(self, name: str) -> Callable[[Any, Any], Awaitable[None]]:
        async def method(request: Any, context: Any) -> None:
            script = self.on.get(name)
            if script is not None:
                await script(request, context)
            elif isinstance(request, Question):
                await context.write(Answer(text=request.text))
            else:
                while (question := await context.read()) is not grpc.aio.EOF:
                    await context.write(Answer(text=question.text))

        return method


def add_probe(servicer: Servicer, server: Any) -> None:
    """What generated code does: hand the handlers over twice, registered and generic."""
    handlers = {}
    for name, (_, _, _, up, down) in METHODS.items():
        if not down:
            make = grpc.stream_unary_rpc_method_handler if up else grpc.unary_unary_rpc_method_handler
            behaviour: Any = servicer.unary(name)
        else:
            make = grpc.stream_stream_rpc_method_handler if up else grpc.unary_stream_rpc_method_handler
            behaviour = servicer.by_context(name) if "By" in name else servicer.generator(name)
        handlers[name] = make(behaviour, Question.FromString, Answer.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


class Tokens:
    """An authenticator over a dict; `verified` are the tokens that `cached` knows, `revoked` are service accounts."""

    def __init__(self) -> None:
        self.callers: dict[str, Caller] = {}
        self.verified: set[str] = set()
        self.revoked: set[UUID] = set()

    def issue(self, *roles: Role, expires: float | None = None) -> str:
        token = f"token-{len(self.callers)}"
        account, session = (None, None) if roles == (Role.GUEST,) else (uuid4(), uuid4())
        self.callers[token] = Caller(account, session, frozenset(roles), "", expires)
        return token

    def cached(self, token: str) -> Caller | None:
        return self.callers[token] if token in self.verified else None

    async def authenticate(self, token: str) -> Caller:
        await asyncio.sleep(0)
        caller = self.callers.get(token)
        if caller is None:
            raise TokenInvalid
        self.verified.add(token)
        return caller

    def cached_service(self, service_account_id: UUID) -> Caller | None:
        return None

    async def authenticate_service(self, service_account_id: UUID) -> Caller:
        await asyncio.sleep(0)
        if service_account_id in self.revoked:
            raise TokenInvalid
        return Caller(service_account_id, service_account_id, frozenset({Role.SERVICE}))


_TRIES = 10


def _lost_by_the_client(error: grpc.aio.AioRpcError) -> bool:
    """Whether grpc.aio's client made an error of its own of a status that came while it still wrote its requests.

    The server's INTERNAL always has details.
    """
    return error.code() is grpc.StatusCode.INTERNAL and "grpc-status-details-bin" not in dict(
        error.trailing_metadata() or ()
    )


@dataclass(frozen=True)
class Refused:
    """A non-OK status, taken apart; building one checks what contract.md promises of every status."""

    code: str
    reason: str
    message: str
    metadata: dict[str, str]
    fields: dict[str, str]
    retry_seconds: float | None
    details_bytes: int
    trailing: dict[str, Any]

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> Refused:
        trailing = dict(error.trailing_metadata())
        raw = trailing["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(raw)
        assert (status.code, status.message) == (error.code().value[0], error.details())
        found: dict[str, list[Any]] = {}
        for packed in status.details:
            kind = packed.type_url.rpartition(".")[2]
            detail = getattr(error_details_pb2, kind)()
            packed.Unpack(detail)
            found.setdefault(kind, []).append(detail)
        (info,) = found["ErrorInfo"]
        assert info.domain == "marketplace.dev"
        assert trailing["x-request-id"]
        violations = [v for bad in found.get("BadRequest", ()) for v in bad.field_violations]
        retry = [info.retry_delay.ToNanoseconds() / 1e9 for info in found.get("RetryInfo", ())]
        return cls(
            error.code().name,
            info.reason,
            error.details() or "",
            dict(info.metadata),
            {violation.field: violation.description for violation in violations},
            retry[0] if retry else None,
            len(raw),
            trailing,
        )

    @property
    def why(self) -> tuple[str, str]:
        return self.code, self.reason


class Probe:
    """The served probe and a client of it that sends bytes, so that it can send bad ones."""

    question, answer = Question, Answer
    # Here too, so that a test about statuses needs no grpc of its own.
    code, error = grpc.StatusCode, grpc.aio.AioRpcError

    def __init__(self, servicer: Servicer, tokens: Tokens, server: BuiltServer, lines: list[str]) -> None:
        self.on = servicer.on
        self.tokens = tokens
        self.server = server
        self._lines = lines
        self.channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)]
        )

    async def log(self) -> list[dict[str, Any]]:
        """The access log, once every call is over (a client may have its status before the handler returns)."""
        assert await self.server.calls.idle(5)
        self.server.accounting.flush()
        return [json.loads(line) for text in self._lines for line in text.splitlines()]

    def call(
        self,
        method: str,
        *requests: Any,
        token: str | None = None,
        metadata: Iterable[tuple[str, str]] = (),
        timeout: float | None = 10.0,
        path: str = "",
    ) -> Any:
        """Start the rpc with these requests (messages or bytes); a stream of requests is closed after them, if any."""
        _, _, _, up, down = METHODS.get(method, ("", 0, 0, False, False))
        kind = f"{'stream' if up else 'unary'}_{'stream' if down else 'unary'}"
        stub = getattr(self.channel, kind)(path or f"/{SERVICE}/{method}", response_deserializer=Answer.FromString)
        pairs = [*metadata, *([("authorization", f"Bearer {token}")] if token else [])]
        raw = [r if isinstance(r, bytes) else r.SerializeToString() for r in requests]
        if not up:
            return stub(raw[0] if raw else b"", metadata=pairs, timeout=timeout)
        return stub(_each(raw) if raw else None, metadata=pairs, timeout=timeout)

    async def result(self, method: str, *requests: Any, **options: Any) -> list[str]:
        """The texts of all answers."""
        call = self.call(method, *requests, **options)
        if METHODS[method][4]:
            return [answer.text async for answer in call]
        return [(await call).text]

    async def trailing(self, method: str, *requests: Any, **options: Any) -> dict[str, Any]:
        """The trailing metadata of an rpc that succeeds."""
        call = self.call(method, *requests, **options)
        if METHODS[method][4]:
            assert [answer async for answer in call]
        else:
            await call
        return dict(await call.trailing_metadata())

    async def failed(self, method: str, *requests: Any, **options: Any) -> grpc.aio.AioRpcError:
        """The error with which the rpc must fail."""
        for _ in range(_TRIES):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await self.result(method, *requests, **options) if method in METHODS else await self.call(
                    method, *requests, **options
                )
            if not _lost_by_the_client(caught.value):
                break
        return caught.value

    async def refused(self, method: str, *requests: Any, **options: Any) -> Refused:
        """The status with which the rpc must fail."""
        return Refused.of(await self.failed(method, *requests, **options))

    @staticmethod
    def taken_apart(error: grpc.aio.AioRpcError) -> Refused:
        return Refused.of(error)


async def _each(items: list[bytes]) -> AsyncIterator[bytes]:
    for item in items:
        yield item


@pytest.fixture
async def start_probe() -> AsyncIterator[Callable[..., Awaitable[Probe]]]:
    """Starts probes with ServerOptions of the test's own; they are stopped at its end."""
    probes: list[Probe] = []

    async def start(*, rates: Rates | None = None, **options: Any) -> Probe:
        servicer, tokens, lines, collector = Servicer(), Tokens(), [], Collector()  # type: ignore[var-annotated]
        collector.add(add_probe, servicer)
        server = build_server(
            collector,
            replace(ServerOptions(), **options),
            authenticator=tokens,
            fingerprint_secret=b"0123456789abcdef",
            rates=rates,
            access_log=lines.append,
        )
        await server.start()
        probes.append(Probe(servicer, tokens, server, lines))
        return probes[-1]

    yield start
    for probe in probes:
        await probe.channel.close()
        await probe.server.stop(0)


@pytest.fixture
async def probe(start_probe: Callable[..., Awaitable[Probe]]) -> Probe:
    """A probe with the default options."""
    return await start_probe()
