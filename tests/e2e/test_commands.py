"""`marketd token` and `marketd healthcheck` against real servers, as a shell and a container call them."""

from __future__ import annotations

import asyncio
import os
import pty
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pyotp
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from marketd.cli import application
from marketd.process.process import App
from marketplace.auth.v1 import auth_service_pb2, user_service_pb2
from marketplace_client import MarketplaceClient
from typer.testing import CliRunner

from tests.canaries import MARK
from tests.certificates import Authority

PASSWORD = f"a buyer's passphrase {MARK}"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int | None
    out: str
    err: str


async def marketd(*arguments: str, stdin: str = "") -> Ran:
    """Run a command without a terminal."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "marketd", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    return Ran(process.returncode, out.decode(), err.decode())


async def within(*arguments: str) -> Ran:
    """The same on a thread, without a process to start; not beside an app, which logs to the same place."""
    ran = await asyncio.to_thread(lambda: CliRunner().invoke(application(arguments), arguments))
    return Ran(ran.exit_code, ran.stdout, ran.stderr)


def is_one_line(text: str) -> bool:
    """Whether it is."""
    return text.count("\n") == 1 and text.endswith("\n") and bool(text.strip())


# -- token


@pytest.fixture
async def buyer(app: App) -> AsyncIterator[MarketplaceClient]:
    """Somebody who has registered."""
    async with MarketplaceClient(f"127.0.0.1:{app.port}") as client:
        await client.register(f"{secrets.token_hex(4)}@shop.example", PASSWORD)
        yield client


async def email_of(client: MarketplaceClient) -> str:
    """Whom a client's calls are made for."""
    user = (await client.user.GetUser(user_service_pb2.GetUserRequest(user_id="me"))).user
    return user.email


async def check_token(app: App, token: str, email: str) -> None:
    """The token is this person's."""
    async with MarketplaceClient(f"127.0.0.1:{app.port}", access_token=token) as client:
        assert await email_of(client) == email


@pytest.mark.parametrize("flags", [["--password-stdin"], []])
async def test_a_token_is_all_that_stands_on_standard_output(
    app: App, buyer: MarketplaceClient, flags: list[str]
) -> None:
    email = await email_of(buyer)
    ran = await marketd(
        "token", "--login", email, "--target", f"127.0.0.1:{app.port}", *flags, stdin=f"{PASSWORD}\nmore\n"
    )
    assert (ran.code, ran.err) == (0, "")
    assert is_one_line(ran.out)
    await check_token(app, ran.out.strip(), email)


async def test_at_a_terminal_the_password_is_asked_for_and_not_shown(app: App, buyer: MarketplaceClient) -> None:
    email = await email_of(buyer)
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "marketd", "token", "--login", email, "--target", f"127.0.0.1:{app.port}"),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    terminal = asyncio.StreamReader()
    with os.fdopen(ours, "rb", 0) as file:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(terminal), file
        )
        shown = await asyncio.wait_for(terminal.readuntil(b"Password: "), 30)
        os.write(ours, f"{PASSWORD}\n".encode())
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        with suppress(OSError):  # the other end is closed
            shown += await asyncio.wait_for(terminal.read(), 30)
        transport.close()
    assert process.returncode == 0
    assert MARK.encode() not in shown
    await check_token(app, out.decode().strip(), email)


async def test_a_second_factor_is_asked_for_in_words_and_taken_as_an_option(app: App, buyer: MarketplaceClient) -> None:
    email = await email_of(buyer)
    enrolled = await buyer.auth.EnrollTotp(auth_service_pb2.EnrollTotpRequest(password=PASSWORD))
    codes = pyotp.TOTP(enrolled.secret)
    await buyer.auth.ConfirmTotp(auth_service_pb2.ConfirmTotpRequest(totp_code=codes.now()))
    sign_in = ("token", "--login", email, "--target", f"127.0.0.1:{app.port}")
    ran = await marketd(*sign_in, stdin=f"{PASSWORD}\n")
    assert (ran.code, ran.out) == (1, "")
    assert is_one_line(ran.err)
    assert "TOTP_REQUIRED" in ran.err
    assert "--totp-code" in ran.err
    # The code of now is spent; the next one is taken already.
    following = codes.at(datetime.now(UTC) + timedelta(seconds=30))
    ran = await marketd(*sign_in, "--totp-code", following, stdin=f"{PASSWORD}\n")
    assert (ran.code, ran.err) == (0, "")
    await check_token(app, ran.out.strip(), email)


async def test_a_sign_in_that_fails_prints_one_line_with_the_reason_and_no_token(
    app: App, buyer: MarketplaceClient
) -> None:
    email = await email_of(buyer)
    here, nowhere = f"127.0.0.1:{app.port}", f"127.0.0.1:{_free_port()}"
    for arguments, stdin, code, says in (
        (("--login", email, "--target", here), "wrong\n", 1, "INVALID_CREDENTIALS"),
        (("--login", email, "--target", nowhere), "wrong\n", 1, f"nothing listens on {nowhere}; start a server"),
        (("--login", email, "--target", here), "", 2, "standard input is empty"),
        (("--login", email, "--target", "127.0.0.1"), "wrong\n", 2, "is no HOST:PORT"),
        (("--login", email, "--target", "shop.example.com:443"), "wrong\n", 2, "use --tls"),
        (("--login", email, "--target", "127.0.0.1:70000"), "wrong\n", 2, "ports go from 1 to 65535"),
        (("--login", email, "--target", here, "--ca", __file__), "wrong\n", 2, "holds no certificates"),
    ):
        ran = await marketd("token", *arguments, stdin=stdin)
        assert (ran.code, ran.out) == (code, ""), ran
        assert is_one_line(ran.err), ran
        assert says in ran.err


# -- healthcheck


@asynccontextmanager
async def health_server(
    state: Any,
    address: str = "127.0.0.1:0",
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[int]:
    """A server of which everything is in this state; its port."""
    servicer = health.aio.HealthServicer()
    await servicer.set("", state)
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def test_health_is_answered_by_the_exit_code_and_one_line(app: App) -> None:
    here = ("healthcheck", "--target", f"127.0.0.1:{app.port}")
    whole = await marketd(*here)
    assert (whole.code, whole.out, whole.err) == (0, f"127.0.0.1:{app.port}: SERVING\n", "")
    one = await marketd(*here, "--service", "marketplace.order.v1.OrderService")
    assert (one.code, one.out) == (0, f"marketplace.order.v1.OrderService at 127.0.0.1:{app.port}: SERVING\n")
    none = await marketd(*here, "--service", "no.such.Service")
    assert (none.code, none.out) == (1, "")
    assert "there is no such service" in none.err


async def test_what_is_not_healthy_is_1_and_a_wrong_command_line_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as taken:
        # Bound, so that nobody else takes the port, and not listening.
        taken.bind(("127.0.0.1", 0))
        async with health_server(NOT_SERVING) as sick:
            for target, more, code, says in (
                (f"127.0.0.1:{sick}", (), 1, "NOT_SERVING"),
                (f"127.0.0.1:{taken.getsockname()[1]}", (), 1, "nothing listens on 127.0.0.1:"),
                (f"127.0.0.1:{silent.getsockname()[1]}", ("--timeout", "0.3"), 1, "no answer within 0.3 s"),
                (f"nobody.invalid:{sick}", (), 1, "there is no host of the name in nobody.invalid"),
                ("::1", (), 2, "no HOST:PORT"),
                ("http://127.0.0.1:80", (), 2, "no HOST:PORT"),
                ("127.0.0.1:80", ("--ca", "/nowhere.pem"), 2, "no certificates"),
            ):
                ran = await within("healthcheck", "--target", target, *more)
                assert (ran.code, ran.out) == (code, ""), ran
                assert is_one_line(ran.err), ran
                assert says in ran.err


async def test_health_is_asked_over_tls_and_ipv6_and_under_another_name(tmp_path: Path) -> None:
    authority = Authority()
    issued = authority.issue("shop", ["shop.example.com"])
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    credentials = grpc.ssl_server_credentials([(issued.key, issued.chain)])
    async with health_server(SERVING, "[::1]:0", credentials) as port:
        asked = ("healthcheck", "--target", f"[::1]:{port}", "--ca", str(tmp_path / "ca.pem"))
        assert (await marketd(*asked, "--server-name", "shop.example.com")).code == 0
        assert (await marketd(*asked)).code == 1  # the certificate is not for ::1
        plain = await marketd(*asked[:3])
        assert plain.code == 1
        assert "use --tls or --ca where it speaks TLS" in plain.err
        mismatch = await marketd("token", "--login", "a@shop.example", *asked[1:], stdin="secret\n")
        assert (mismatch.code, is_one_line(mismatch.err)) == (1, True), mismatch.err


def test_the_healthcheck_imports_nothing_that_is_slow() -> None:
    program = (
        "import sys; sys.argv = ['marketd', 'healthcheck', '--target', '127.0.0.1:1']\n"
        "from marketd.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'marketd.config', 'sqlalchemy', 'asyncpg', 'marketplace', 'rich'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def _free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        return int(holder.getsockname()[1])
