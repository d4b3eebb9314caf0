"""`marketd serve` as a person starts it: on IPv6, with TLS, with settings from a file, and with a core that talks."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from marketd import app as composition
from marketd.config import Environment, Settings
from marketd.config.forms import with_port
from marketd.process.supervision.grpc_lines import LINES_OF_A_KIND
from marketplace.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from marketplace.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from pydantic import SecretStr

from tests.canaries import MARK
from tests.certificates import Authority

SERVING = re.compile(r"SERVING on (\S+):(\d+) after .*metrics: (\S+)\)")


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")


@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "[::1]", "::", "[::]"])
async def test_the_app_listens_on_ipv6_in_both_spellings(database_url: str, host: str) -> None:
    settings = Settings(
        env=Environment.TEST, host=host, port=0, database_url=SecretStr(database_url), bcrypt_cost=4, run_worker=False
    )
    app = await composition.build(settings)
    await app.start()
    try:
        async with grpc.aio.insecure_channel(f"[::1]:{app.port}") as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=10, wait_for_ready=True)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await app.stop(0)


@dataclass(frozen=True)
class Serving:
    """A server in a process of its own, and what it has said since it began."""

    host: str
    port: int
    metrics: str
    output: Path
    authority: Authority
    process: subprocess.Popen[bytes]
    database_url: str

    def channel(self) -> grpc.Channel:
        """A channel to it, by the name in its certificate."""
        credentials = grpc.ssl_channel_credentials(self.authority.pem)
        options = [("grpc.ssl_target_name_override", "localhost")]
        return grpc.secure_channel(f"{self.host}:{self.port}", credentials, options=options)

    def said(self) -> list[str]:
        """Its lines."""
        return self.output.read_text().splitlines()

    def core_lines(self) -> int:
        """How many lines its core has written, says its metric."""
        with urllib.request.urlopen(self.metrics, timeout=5) as answer:  # noqa: S310 - loopback http, our own
            text: str = answer.read().decode()
        return sum(int(float(count)) for count in re.findall(r"^marketd_core_log_lines_total\{.*\} (\S+)$", text, re.M))


@pytest.fixture(scope="module")
def serving(lasting_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """With TLS, on IPv6 where there is any, and with most of its settings in a `.env` file."""
    folder = tmp_path_factory.mktemp("serving")
    authority = Authority()
    certificate, key = authority.server().write(folder)
    url = lasting_database()
    (folder / ".env").write_text(
        f"MARKETD_DATABASE_URL='{url}'\nMARKETD_TLS_CERT_FILE={certificate}\n"
        f"MARKETD_TLS_KEY_FILE={key}\nMARKETD_ENV=test\nMARKETD_LOG_FORMAT=json\nMARKETD_DRAIN_SECONDS=60\n"
        "MARKETD_RUN_WORKER=false\nMARKETD_PORT=1\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MARKETD_")}
    host = "[::1]" if _has_ipv6() else "127.0.0.1"
    output = folder / "output"
    with output.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "marketd", "serve", "--host", host],
            cwd=folder,
            env={
                **kept,
                "MARKETD_PORT": "0",
                "MARKETD_BCRYPT_COST": "4",
                "GRPC_VERBOSITY": "INFO",
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        found = _wait_for(SERVING, output, process)
        yield Serving(found[1], int(found[2]), found[3], output, authority, process, url)
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(pattern: re.Pattern[str], output: Path, process: subprocess.Popen[bytes]) -> re.Match[str]:
    for _ in range(600):
        if (found := pattern.search(output.read_text())) is not None:
            return found
        if process.poll() is not None:
            break
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"it does not serve:\n{output.read_text()}")


def test_settings_of_a_file_reach_the_workers_and_their_names_are_said(serving: Serving) -> None:
    """TLS, and the database without which no worker serves, come from the file; the port from the environment."""
    first = serving.said()[0]
    assert first.startswith("marketd: 7 settings come from .env: MARKETD_DATABASE_URL, MARKETD_DRAIN_SECONDS, ")
    assert "postgresql:" not in serving.output.read_text()
    assert serving.port > 1
    with serving.channel() as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=20, wait_for_ready=True)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@needs_ipv6
def test_an_option_in_brackets_is_where_workers_listen_and_what_is_printed(serving: Serving) -> None:
    assert serving.host == "[::1]"
    assert with_port("::1", serving.port) == f"{serving.host}:{serving.port}"
    with socket.create_connection(("::1", serving.port), timeout=10):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", serving.port), timeout=10)


def test_what_the_core_says_comes_through_our_log_and_is_counted(serving: Serving) -> None:
    before = serving.core_lines()
    for _ in range(3 * LINES_OF_A_KIND):
        with socket.create_connection((serving.host.strip("[]"), serving.port), timeout=10) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            stranger.recv(100)
    end = time.monotonic() + 20
    while serving.core_lines() < before + 3 * LINES_OF_A_KIND:
        assert time.monotonic() < end
    lines = serving.said()[1:]
    handshakes = [json.loads(line) for line in lines if "Handshake failed" in line]
    assert LINES_OF_A_KIND <= len(handshakes) < 3 * LINES_OF_A_KIND
    assert {(line["event"], line["level"], line["severity"]) for line in handshakes} == {("core_log", "info", "info")}
    assert not [line for line in lines if re.match(r"[IWEF]\d{4} ", line)], "nothing past the log"


async def test_what_is_in_flight_at_its_end_is_answered_and_then_it_ends_well(serving: Serving) -> None:
    """The last of this file, since it ends the server: by SIGTERM, while the database holds a call up."""
    holder = await asyncpg.connect(serving.database_url)
    # Not the holder: what a transaction has once seen of other sessions stays as it was.
    onlooker = await asyncpg.connect(serving.database_url)
    with serving.channel() as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=20, wait_for_ready=True).status
        async with holder.transaction():
            await holder.execute("LOCK TABLE categories, accounts")
            stub: Any = catalog_service_pb2_grpc.CatalogServiceStub
            call = stub(channel).ListCategories.future(catalog_service_pb2.ListCategoriesRequest(), timeout=60)
            sign_in: Any = auth_service_pb2_grpc.AuthServiceStub
            nobody = auth_service_pb2.LoginRequest(login="nobody@shop.example", password=f"wrong {MARK}")
            refused = sign_in(channel).Login.future(nobody, timeout=60)
            waits = (
                "SELECT bool_or(query LIKE '%categories%') AND bool_or(query LIKE '%accounts%')"
                " FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            await _until(lambda: onlooker.fetchval(waits))
            serving.process.terminate()
            await _until(lambda: asyncio.to_thread(_is_closed, serving))
            # Longer than a worker takes that waits for nobody, and far less than what this one may take.
            with pytest.raises(grpc.FutureTimeoutError):
                await asyncio.to_thread(call.result, 0.5)
        assert call.result(20) is not None
        assert refused.exception(20).code() is grpc.StatusCode.UNAUTHENTICATED
    assert await asyncio.to_thread(serving.process.wait, 30) == 0
    said = serving.said()
    assert "Stopping: calls in flight finish first." in said
    assert said[-1] == "Stopped."
    entries = "SELECT array_agg(refusal_reason) FROM audit_entries WHERE method LIKE '%/Login'"
    assert await holder.fetchval(entries) == ["INVALID_CREDENTIALS"], "what was refused last is written down as well"
    await onlooker.close()
    await holder.close()


async def _until(is_so: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
        while True:
            if await is_so():
                return
            await asyncio.sleep(0.02)


def _is_closed(serving: Serving) -> bool:
    """Whether nobody listens on its port any more, which is so once it has turned new calls away."""
    try:
        with socket.create_connection((serving.host.strip("[]"), serving.port), timeout=10):
            return False
    except ConnectionRefusedError:
        return True
