"""Envoy itself with our configuration and no worker behind it: whether it takes it, what it answers, how it drains."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
import yaml
from marketd.cli import application
from marketd.config import Settings
from marketd.gateway.files import document, write_files
from marketd.gateway.gateway import Admin, Gateway, Upstream, gateway_of
from marketd.process.supervision.gateway import drain
from marketplace.cart.v1 import cart_service_pb2
from marketplace_client.errors import from_rpc_error
from typer.testing import CliRunner

from tests.certificates import Authority
from tests.worlds import processes
from tests.worlds.gateway import ORIGIN, RunningGateway, require_envoy, running
from tests.worlds.parts import make_settings

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.asyncio(loop_scope="module")
GRPC_WEB = {"content-type": "application/grpc-web+proto"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGateway]:
    """A gateway whose only worker does not answer."""
    folder = tmp_path_factory.mktemp("gateway")
    async with running(make_settings(), folder, nobody(folder), serving=False, limiter=True, origins=(ORIGIN,)) as made:
        yield made


def nobody(folder: Path) -> list[Upstream]:
    """A worker that is not there."""
    return [Upstream(socket=folder / "none.sock")]


def refusal(body: bytes) -> tuple[int, str]:
    """Code and reason of an error in JSON, which has the three parts and nothing else."""
    error: dict[str, Any] = json.loads(body)
    assert set(error) == {"code", "message", "details"}
    (info,) = error["details"]
    assert (info["@type"], info["domain"]) == ("type.googleapis.com/google.rpc.ErrorInfo", "marketplace.dev")
    return error["code"], info["reason"]


@pytest.mark.parametrize(
    ("path", "body", "headers", "expected"),
    [
        ("/nowhere", None, {}, (404, 5, "NOT_FOUND")),
        ("/v1/nowhere", None, {}, (404, 5, "NOT_FOUND")),
        ("/v1/products", None, {}, (503, 14, "OVERLOADED")),
        ("/v1/products", None, {"x-limited": "1"}, (429, 8, "RATE_LIMITED")),
        ("/healthz", None, {}, (503, 14, "OVERLOADED")),
        ("/marketplace.cart.v1.CartService/GetCart", {}, {}, (415, 3, "MALFORMED_REQUEST")),
        ("/v1/products", None, {"x-long": "x" * 17_000}, (431, 3, "MALFORMED_REQUEST")),
        ("/v1/%2e%2e%2fproducts", None, {}, (400, 3, "MALFORMED_REQUEST")),
        # What marks a call as one of REST is not a client's to say.
        ("/nowhere", None, {"x-stream-errors": "message"}, (404, 5, "NOT_FOUND")),
        # Nearly gRPC, which a worker would only reset.
        ("/v1/products", b"{}", {"content-type": "application/grpc-web+json"}, (415, 3, "MALFORMED_REQUEST")),
        (
            "/marketplace.cart.v1.CartService/GetCart",
            b"",
            {"content-type": "application/grpcs"},
            (415, 3, "MALFORMED_REQUEST"),
        ),
    ],
)
async def test_what_envoy_refuses_by_itself_has_a_reason(
    alone: RunningGateway, path: str, body: Any, headers: dict[str, str], expected: tuple[int, int, str]
) -> None:
    status, got, text = await alone.fetch(path, body, headers=headers)
    assert (status, *refusal(text)) == expected
    kept = (got["content-type"], got["cache-control"], got["x-content-type-options"])
    assert kept == ("application/json", "no-store", "nosniff")


@pytest.mark.parametrize(
    ("request_line", "header", "expected"),
    [
        ("GET /v1/products HTTP/1.0", "x-nothing: 1", (426, 3, "MALFORMED_REQUEST")),
        ("GET /v1/products HTTP/1.1", "connection: upgrade\r\nupgrade: websocket", (403, 3, "MALFORMED_REQUEST")),
        ("POST /v1/products HTTP/1.1", "transfer-encoding: gzip", (501, 3, "MALFORMED_REQUEST")),
        (
            "POST /v1/products HTTP/1.1",
            "transfer-encoding: chunked\r\ncontent-length:4",
            (400, 3, "MALFORMED_REQUEST"),
        ),
        ("CONNECT elsewhere:443 HTTP/1.1", "x-nothing: 1", (405, 12, "METHOD_UNKNOWN")),
    ],
)
async def test_what_is_no_request_is_its_senders_fault(
    alone: RunningGateway, request_line: str, header: str, expected: tuple[int, int, str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", alone.port)
    writer.write(f"{request_line}\r\nhost: here\r\n{header}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readuntil(b"}\n")
    writer.close()
    assert (int(head.split()[1]), *refusal(body)) == expected


@pytest.mark.parametrize("path", ["/v1/products", "/healthz", "/marketplace.cart.v1.CartService/GetCart"])
async def test_grpc_without_trailers_is_refused_as_such(alone: RunningGateway, path: str) -> None:
    """HTTP/1.1 has none for it, so that there would be no status at the end."""
    status, headers, _ = await alone.fetch(path, b"\0\0\0\0\0", headers={"content-type": "application/grpc"})
    assert (status, headers["grpc-status"]) == (200, "3")
    assert "MALFORMED_REQUEST" in _decoded(headers["grpc-status-details-bin"])


async def test_a_redirect_names_no_host_that_the_client_made_up(alone: RunningGateway) -> None:
    with socket.create_connection(("127.0.0.1", alone.port), 5) as connection:
        connection.sendall(b"GET http://elsewhere.example/docs HTTP/1.1\r\nhost: elsewhere.example\r\n\r\n")
        assert b"\r\nlocation: /docs/\r\n" in await asyncio.to_thread(connection.recv, 65_536)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ([], (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")),
        ([("x-limited", "1")], (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")),
    ],
)
async def test_a_client_of_grpc_gets_a_status_with_its_details(
    alone: RunningGateway, metadata: list[tuple[str, str]], expected: tuple[grpc.StatusCode, str]
) -> None:
    async with grpc.aio.insecure_channel(alone.target, options=[("grpc.enable_retries", 0)]) as channel:
        get: Any = channel.unary_unary(
            "/marketplace.cart.v1.CartService/GetCart",
            request_serializer=cart_service_pb2.GetCartRequest.SerializeToString,
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await get(cart_service_pb2.GetCartRequest(), timeout=5, metadata=metadata)
    error = from_rpc_error(refused.value)
    assert (error.code, error.reason, error.retry_after) == (*expected, 1.0)


@pytest.mark.parametrize(
    ("more", "code", "reason"), [({}, "14", "OVERLOADED"), ({"x-limited": "1"}, "8", "RATE_LIMITED")]
)
async def test_a_client_of_grpc_web_gets_the_same(
    alone: RunningGateway, more: dict[str, str], code: str, reason: str
) -> None:
    path = "/marketplace.cart.v1.CartService/GetCart"
    status, headers, _ = await alone.fetch(path, b"\0\0\0\0\0", headers={**GRPC_WEB, **more})
    assert (status, headers["content-type"]) == (200, "application/grpc-web+proto")
    assert (headers["grpc-status"], reason in _decoded(headers["grpc-status-details-bin"])) == (code, True)


def _decoded(text: str) -> str:
    return base64.b64decode(text + "=" * (-len(text) % 4)).decode("latin-1")


async def test_pages_of_the_named_origin_may_call_and_no_others(alone: RunningGateway) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "idempotency-key,grpc-timeout"}
    for path in ("/marketplace.cart.v1.CartService/GetCart", "/v1/carts"):
        status, allowed, _ = await alone.fetch(path, method="OPTIONS", headers={"origin": ORIGIN, **asked})
        assert (status, allowed["access-control-allow-origin"]) == (200, ORIGIN)
        assert {"idempotency-key", "authorization"} <= set(allowed["access-control-allow-headers"].split(", "))
        assert "access-control-allow-credentials" not in allowed
        for origin in ("https://evil.example", f"{ORIGIN}.evil.example", "null"):
            status, refused, body = await alone.fetch(path, method="OPTIONS", headers={"origin": origin, **asked})
            assert (status, *refusal(body)) == (405, 12, "METHOD_UNKNOWN")
            assert not [name for name in refused if name.startswith("access-control-")]
    _, shown, _ = await alone.fetch("/v1/products", headers={"origin": ORIGIN})
    assert {"grpc-status", "grpc-status-details-bin", "x-request-id", "etag"} <= set(
        shown["access-control-expose-headers"].split(", ")
    )


async def test_one_that_drains_takes_no_connection_and_tells_its_clients_to_go(tmp_path: Path) -> None:
    async with running(make_settings(), tmp_path, nobody(tmp_path), serving=False) as leaving:
        with socket.create_connection(("127.0.0.1", leaving.port), 5) as open_one:
            open_one.settimeout(5)
            assert b"connection: close" not in await asyncio.to_thread(_ask, open_one)
            await asyncio.to_thread(drain, leaving.admin)
            await _until_refused(leaving.port)
            assert b"connection: close" in await asyncio.to_thread(_ask, open_one)


async def _until_refused(port: int) -> None:
    """Each of Envoy's threads closes its own socket."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return
            writer.close()
            await asyncio.sleep(0.01)


def _ask(connection: socket.socket) -> bytes:
    connection.sendall(b"GET /nowhere HTTP/1.1\r\nhost: here\r\n\r\n")
    return connection.recv(65_536)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(
            gateway_upstreams=("10.0.0.5:50051", "[2001:db8::7]:50051"),
            gateway_upstream_ca_file=Path("{ca}"),
            gateway_tls_cert_file=Path("{certificate}"),
            gateway_tls_key_file=Path("{key}"),
            gateway_origins=("*",),
            gateway_trusted_hops=2,
            gateway_host="::",
            access_log=True,
        ),
    ],
)
async def test_envoy_takes_every_kind_of_configuration(settings: Settings, tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.server().write(tmp_path)
    paths = {"{ca}": tmp_path / "ca.pem", "{certificate}": certificate, "{key}": key}
    given = {
        name: paths.get(str(getattr(settings, name)))
        for name in ("gateway_upstream_ca_file", "gateway_tls_cert_file", "gateway_tls_key_file")
    }
    gateway = gateway_of(settings.model_copy(update=given))
    said = await asyncio.to_thread(_validated, write_files(gateway, tmp_path), tmp_path)
    assert said.endswith("OK\n"), said
    assert "eprecated" not in said


def _validated(path: Path, folder: Path) -> str:
    done = subprocess.run(
        [require_envoy(), "--mode", "validate", "--config-path", path, "--disable-hot-restart", "-l", "warning"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stderr + done.stdout.rstrip("\n") + "\n"


async def test_the_file_in_deploy_is_what_print_writes() -> None:
    written = yaml.safe_load((ROOT / "deploy" / "envoy.yaml").read_text())
    assert written == document(gateway_of(Settings())), "marketd gateway --print > deploy/envoy.yaml"


async def test_an_envoy_of_ones_own_takes_what_print_and_files_write(tmp_path: Path) -> None:
    words = ["gateway", "--files", str(tmp_path)]
    answer = CliRunner().invoke(application(words), words)
    assert answer.exit_code == 0, answer.stderr
    said = await asyncio.to_thread(_validated, ROOT / "deploy" / "envoy.yaml", tmp_path)
    assert said.endswith("OK\n"), said


async def test_the_gateway_speaks_tls_with_both_protocols_and_takes_up_a_new_certificate(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.server().write(tmp_path)
    files: dict[str, Any] = {"tls_cert_file": certificate, "tls_key_file": key}
    async with running(make_settings(), tmp_path, nobody(tmp_path), serving=False, **files) as encrypted:
        for offered in ("h2", "http/1.1"):
            context = ssl.create_default_context(cadata=authority.pem.decode())
            context.set_alpn_protocols([offered])
            _, writer = await asyncio.open_connection(
                "127.0.0.1", encrypted.port, ssl=context, server_hostname="localhost"
            )
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == offered
            writer.close()
        authority.server("another").write(tmp_path)
        async with asyncio.timeout(20):
            while await asyncio.to_thread(_shown, encrypted.port) != certificate.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        with socket.create_connection(("127.0.0.1", encrypted.port), 5) as plain:
            assert await asyncio.to_thread(_ask, plain) == b""


_PARENT = """
import os, time
from marketd.config import Settings
from marketd.process.supervision.gateway import GatewayPlace
place = GatewayPlace.open(Settings.read(gateway_port=0))
place.child.spawn(os.environ, 2)
while not place.look():
    time.sleep(0.02)
print(place.child.process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")
async def test_it_ends_with_a_parent_that_is_killed(scratch: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PARENT),
        env={**os.environ, "MARKETD_DATA_DIR": str(scratch)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 30))
    (envoy,) = [each for each in processes.tree(parent.pid) if each.pid == pid]
    assert "envoy" in envoy.command
    parent.kill()
    await parent.wait()
    assert await asyncio.to_thread(processes.wait_until_ended, [envoy], 10.0) == []


def _shown(port: int) -> str:
    """The certificate that a client is shown."""
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=5)


async def test_the_admin_interface_is_on_this_machine_alone() -> None:
    assert document(gateway_of(Settings()))["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    gateway = Gateway("0.0.0.0", 1, (Upstream(socket=Path("w")),), admin=Admin(socket=Path("a")))  # noqa: S104 - not bound
    assert document(gateway)["admin"]["address"] == {"pipe": {"path": "a", "mode": 0o600}}


async def test_no_page_may_call_where_no_origin_is_named() -> None:
    assert "CorsPolicy" not in json.dumps(document(gateway_of(Settings())))
