"""The gateway's socket on a server: who is trusted there, what a dead worker left, and that it is private."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from marketd.kernel.call import call as kernel_call

from tests.worlds.probe import Probe
from tests.worlds.probe_service import SERVICE

StartProbe = Callable[..., Awaitable[Probe]]


async def ask(probe: Probe, target: str, forwarded: list[str]) -> str:
    """Call it there; the address that the handler is told."""
    seen: list[str] = []

    async def look(request: Any, context: Any) -> Any:
        seen.append(kernel_call.current_caller().address)
        return probe.answer()

    probe.on["Get"] = look
    async with grpc.aio.insecure_channel(target) as channel:
        get: Any = channel.unary_unary(f"/{SERVICE}/Get")
        await get(b"", metadata=[("x-forwarded-for", value) for value in forwarded], timeout=10)
    return seen[0]


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (1, ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (1, ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        (2, ["192.0.2.1, 198.51.100.1, 203.0.113.7"], "198.51.100.1"),
        (1, ["2001:db8::7"], "2001:db8::7"),
    ],
)
async def test_what_the_gateway_saw_counts_on_its_socket_alone(
    start_probe: StartProbe, scratch: Path, hops: int, forwarded: list[str], address: str
) -> None:
    path = scratch / "worker-0.sock"
    probe = await start_probe(gateway_socket=path, gateway_hops=hops)
    assert await ask(probe, f"unix:{path}", forwarded) == address
    assert await ask(probe, f"127.0.0.1:{probe.server.port}", forwarded) == "127.0.0.1"


async def test_a_socket_that_a_killed_worker_left_is_replaced_and_ours_goes_with_us(
    start_probe: StartProbe, scratch: Path
) -> None:
    path = scratch / "worker-0.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    probe = await start_probe(gateway_socket=path)
    assert path.stat().st_mode & 0o777 == 0o600
    await ask(probe, f"unix:{path}", ["203.0.113.7"])
    await probe.server.stop(0)
    assert not path.exists()
