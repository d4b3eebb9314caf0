"""A gateway of the tests: a real Envoy in front of servers of the tests."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from marketd.config import Settings
from marketd.gateway.binary import EnvoyAbsent, find_envoy
from marketd.gateway.files import command_line, write_files
from marketd.gateway.gateway import Admin, Upstream, gateway_of
from marketd.process.supervision.gateway import ADMIN_SOCKET, ask
from marketd.process.supervision.port import reserve_port

READY_SECONDS = 20.0
ORIGIN = "https://shop.example"
"""The web page that the gateway of the tests lets call."""


def has_envoy() -> bool:
    """Whether there is one here."""
    try:
        find_envoy()
    except EnvoyAbsent:
        return False
    return True


def require_envoy() -> Path:
    """Envoy's program; skips the test where there is none."""
    try:
        return find_envoy()
    except EnvoyAbsent as absent:
        pytest.skip(str(absent))


@dataclass(frozen=True)
class RunningGateway:
    """An Envoy that runs, and what it logs (its access log among it)."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def target(self) -> str:
        """Where gRPC calls it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where HTTP calls it."""
        return f"http://{self.target}"

    @property
    def admin(self) -> Path:
        """The socket of Envoy's own interface."""
        return self.folder / ADMIN_SOCKET

    def log(self) -> list[str]:
        """The lines that it has written."""
        return (self.folder / "log").read_text().splitlines()

    async def until_serving(self) -> None:
        """Wait until a worker answers behind it."""
        await asyncio.to_thread(_wait_until_ready, self, True)

    async def fetch(self, path: str, body: Any = None, **more: Any) -> tuple[int, Mapping[str, str], bytes]:
        """The same as `http`, while the loop goes on: workers in this process answer in it."""
        return await asyncio.to_thread(self.http, path, body, **more)

    def http(
        self,
        path: str,
        body: Any = None,
        *,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers (names in lower case) and body of one HTTP/1.1 request; `body` is sent as JSON."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {**({"content-type": "application/json"} if data is not None else {}), **(headers or {})}
        request = urllib.request.Request(self.url + path, data, sent, method=method)  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - the same
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


@asynccontextmanager
async def running(
    settings: Settings,
    folder: Path,
    upstreams: Sequence[Upstream],
    *,
    serving: bool = True,
    limiter: bool = False,
    **changes: Any,
) -> AsyncIterator[RunningGateway]:
    """An Envoy on a free port until the block ends; `changes` are fields of Gateway.

    serving: wait for a worker. limiter: a limiter of the operator's answers calls with the header x-limited.
    """
    envoy = require_envoy()
    holder = reserve_port("127.0.0.1", 0)
    port = holder.getsockname()[1]
    gateway = replace(
        gateway_of(settings, tuple(upstreams)),
        host="127.0.0.1",
        port=port,
        admin=Admin(socket=folder / ADMIN_SOCKET),
        # Counting by address makes Envoy start a second later.
        **{"connections_of_address": 0, **changes},
    )
    configured = write_files(gateway, folder)
    if limiter:
        _add_limiter(configured)
    line = command_line(envoy, configured, settings, is_json=True)
    with holder, (folder / "log").open("wb") as log:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: ASYNC220 - a moment
        made = RunningGateway(port, folder, process)
        try:
            await asyncio.to_thread(_wait_until_ready, made, serving)
            yield made
        finally:
            process.terminate()
            process.wait(10)


def _add_limiter(configured: Path) -> None:
    made = json.loads(configured.read_text())
    header = {"name": "x-limited", "present_match": True}
    for chain in made["static_resources"]["listeners"][0]["filter_chains"]:
        routes = chain["filters"][-1]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
        limit = {"match": {"prefix": "/", "headers": [header]}, "direct_response": {"status": 429}}
        routes.insert(0, {**routes[-1], **limit})
    configured.write_text(json.dumps(made))


def _wait_until_ready(gateway: RunningGateway, serving: bool) -> None:
    end = time.monotonic() + READY_SECONDS
    while ask(gateway.admin, "GET", "/ready") is None or (serving and gateway.http("/healthz")[0] != 200):
        assert gateway.process.poll() is None, "\n".join(gateway.log()[-20:])
        assert time.monotonic() < end, "\n".join(gateway.log()[-20:])
        time.sleep(0.02)
