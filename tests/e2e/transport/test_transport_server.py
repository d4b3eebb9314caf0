"""The server around the chain: health, reflection, channelz, TLS, ports, drains, and what keeps it from starting."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf import descriptor_pb2
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import Refusal
from marketd.transport.collector import Collector
from marketd.transport.edge.admission import Bounds
from marketd.transport.links.order import LINKS
from marketd.transport.server import ServerOptions, build_server
from marketd.transport.start_errors import HandlersUnfit, PortUnavailable

if TYPE_CHECKING:
    from tests.worlds.probe import Probe

StartProbe = Callable[..., Awaitable["Probe"]]
PROBE = "transport.probe.v1.ProbeService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_health_knows_the_server_and_each_of_its_services(probe: Probe) -> None:
    stub: Any = health_pb2_grpc.HealthStub(probe.channel)
    for service in ("", PROBE):
        assert (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"))
    assert probe.taken_apart(caught.value).why == ("NOT_FOUND", "NOT_FOUND")
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="no.such.Service"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()
    probe.server.health.set_not_serving(PROBE)
    list_all: Any = probe.channel.unary_unary("/grpc.health.v1.Health/List")
    states: bytes = await list_all(b"")
    assert PROBE.encode() in states
    assert (await stub.Check(health_pb2.HealthCheckRequest(service=PROBE))).status == NOT_SERVING


async def test_health_needs_no_token_and_does_not_look_at_a_bad_one(probe: Probe) -> None:
    stub: Any = health_pb2_grpc.HealthStub(probe.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(), metadata=[("authorization", "Bearer forged")])
    assert answer.status == SERVING


async def test_strangers_who_watch_the_health_take_nobody_elses_room(start_probe: StartProbe) -> None:
    probe = await start_probe(bounds=Bounds(streams=(1, 1), health_watches=(3, 3)))
    stub: Any = health_pb2_grpc.HealthStub(probe.channel)
    watches = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(3)]
    for watch in watches:
        assert (await watch.read()).status == SERVING
    one_more = stub.Watch(health_pb2.HealthCheckRequest())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await one_more.read()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == SERVING
    await probe.result("Watch", probe.question(), token=probe.tokens.issue(Role.BUYER))
    for watch in watches:
        watch.cancel()


async def test_watchers_of_health_hear_of_every_change_and_of_the_drain(start_probe: StartProbe) -> None:
    probe = await start_probe()
    stub: Any = health_pb2_grpc.HealthStub(probe.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    probe.server.health.set_not_serving()
    assert (await watch.read()).status == NOT_SERVING
    probe.server.health.set_serving()
    assert (await watch.read()).status == SERVING
    stopping = asyncio.create_task(probe.server.stop(2))
    assert (await watch.read()).status == NOT_SERVING
    assert await watch.read() is grpc.aio.EOF
    await stopping


async def test_a_drain_waits_for_no_hook_that_hangs_and_for_none_that_fails(
    start_probe: StartProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketd.transport.edge.calls._HOOK_SECONDS", 0.05)
    probe = await start_probe()
    begun: list[str] = []
    let_go = asyncio.Event()

    async def hang() -> None:
        begun.append("hangs")
        await let_go.wait()

    async def fail() -> None:
        begun.append("fails")
        raise RuntimeError("a bug")

    probe.server.calls.on_drain(fail)
    probe.server.calls.on_drain(hang)
    try:
        async with asyncio.timeout(20):
            await probe.server.stop(1)
    finally:
        let_go.set()
    assert begun == ["fails", "hangs"]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_answers_under_both_names(start_probe: StartProbe, version: str) -> None:
    probe = await start_probe(reflection=True)
    ask = reflection_pb2.ServerReflectionRequest
    stream: Any = probe.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=ask.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )()
    await stream.write(ask(list_services=""))
    listed = {service.name for service in (await stream.read()).list_services_response.service}
    assert {PROBE, "grpc.health.v1.Health", f"grpc.reflection.{version}.ServerReflection"} <= listed
    for service in listed:  # a client must be able to describe whatever it was told of
        await stream.write(ask(file_containing_symbol=service))
        files = (await stream.read()).file_descriptor_response.file_descriptor_proto
        parsed = [descriptor_pb2.FileDescriptorProto.FromString(raw) for raw in files]
        assert service in {f"{file.package}.{declared.name}" for file in parsed for declared in file.service}
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


async def test_reflection_and_channelz_are_off_unless_asked_for(probe: Probe) -> None:
    for path in ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.channelz.v1.Channelz/GetServers"):
        ask: Any = probe.channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(b"")
        assert probe.taken_apart(caught.value).why == ("UNIMPLEMENTED", "METHOD_UNKNOWN")


async def test_channelz_is_for_administrators(start_probe: StartProbe) -> None:
    probe = await start_probe(channelz=True)
    make: Any = channelz_pb2_grpc.ChannelzStub
    stub = make(probe.channel)
    metadata = [("authorization", f"Bearer {probe.tokens.issue(Role.ADMIN)}")]
    servers = (await stub.GetServers(channelz_pb2.GetServersRequest(), metadata=metadata)).server
    assert servers
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetServer(channelz_pb2.GetServerRequest(server_id=10**9), metadata=metadata)
    assert probe.taken_apart(caught.value).why == ("NOT_FOUND", "NOT_FOUND")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetServers(channelz_pb2.GetServersRequest())
    assert probe.taken_apart(caught.value).why == ("UNAUTHENTICATED", "UNAUTHENTICATED")


async def test_one_retry_carries_every_call_over_to_the_next_server_on_the_port(start_probe: StartProbe) -> None:
    old = await start_probe(reuse_port=True)
    served, moved = asyncio.Semaphore(0), asyncio.Event()
    reasons: list[tuple[str, str]] = []

    async def caller() -> None:
        while not moved.is_set():
            try:
                await old.result("Get", old.question(), timeout=5)
            except grpc.aio.AioRpcError as error:
                refused = old.taken_apart(error)
                reasons.append(refused.why)
                await asyncio.sleep(refused.retry_seconds or 0)
                await old.result("Get", old.question(), timeout=5)
            served.release()

    async def serve(calls: int) -> None:
        for _ in range(calls):
            await asyncio.wait_for(served.acquire(), 10)

    callers = [asyncio.create_task(caller()) for _ in range(20)]
    await serve(200)
    await start_probe(reuse_port=True, port=old.server.port)
    await old.server.stop(2)
    await serve(200)
    moved.set()
    await asyncio.wait_for(asyncio.gather(*callers), 10)
    assert set(reasons) == {("UNAVAILABLE", "DRAINING")}


async def test_a_taken_port_keeps_the_server_from_starting(probe: Probe) -> None:
    with pytest.raises(PortUnavailable, match=f"127.0.0.1:{probe.server.port}"):
        build_server(
            Collector(),
            ServerOptions(port=probe.server.port),
            authenticator=probe.tokens,
            fingerprint_secret=bytes(16),
        )


def test_a_handler_that_is_not_written_or_not_async_keeps_the_server_from_starting() -> None:
    def sync(request: Any, context: Any) -> Any:
        return b""

    class Half(health_pb2_grpc.HealthServicer):
        async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
            return b""

    collector = Collector()
    with pytest.raises(HandlersUnfit, match=re.escape("/grpc.health.v1.Health/Watch")):
        collector.add(health_pb2_grpc.add_HealthServicer_to_server, Half())
    with pytest.raises(HandlersUnfit, match=re.escape("/a.B/C")):
        collector.add_registered_method_handlers("a.B", {"C": grpc.unary_unary_rpc_method_handler(sync)})


async def test_tls_serves_the_same_chain(start_probe: StartProbe) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    probe = await start_probe(credentials=grpc.ssl_server_credentials([(private, certificate)]))
    credentials = grpc.ssl_channel_credentials(root_certificates=certificate)
    options = [("grpc.ssl_target_name_override", "localhost")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{probe.server.port}", credentials, options=options) as channel:
        raw = probe.question(text="safe").SerializeToString()
        assert probe.answer.FromString(await channel.unary_unary(f"/{PROBE}/Get")(raw)).text == "safe"


def test_the_links_stand_in_the_order_that_the_design_gives_each_with_its_reason() -> None:
    assert [link.name for link in LINKS] == [
        "request id",
        "access log and metrics",
        "errors",
        "audit",
        "admission",
        "authentication",
        "access",
        "rate",
        "message",
        "answers",
        "parse and validation",
        "same answers",
        "idempotency",
        "deadline",
    ]
    assert all(len(link.why) > 20 for link in LINKS)


async def test_no_status_of_the_whole_probe_is_unknown_or_leaks(probe: Probe) -> None:
    async def leak(request: Any, context: Any) -> Any:
        raise RuntimeError("Traceback postgres://user:pw@host/usr/lib asyncpg SELECT 1")

    probe.on["Get"] = leak
    refused = await probe.refused("Get", probe.question())
    assert not re.search(r"Traceback|asyncpg|SELECT |postgres://|/usr/", repr(refused))
    assert isinstance(refused.message, str)
    assert not issubclass(RuntimeError, Refusal)
