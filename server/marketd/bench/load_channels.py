"""The channels of a load process."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import grpc

_CONNECT_SECONDS = 10.0


async def open_channels(stack: AsyncExitStack, target: str, count: int) -> list[grpc.aio.Channel]:
    """Connected channels, each with a connection of its own; `stack` closes them."""
    # Without a pool of their own the channels would share one connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [
        await stack.enter_async_context(grpc.aio.insecure_channel(target, options=options)) for _ in range(count)
    ]
    for channel in channels:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await channel.channel_ready()
    return channels


def bearer(token: str) -> tuple[tuple[str, str], ...] | None:
    """The metadata of a call with this access token; none without one."""
    return (("authorization", f"Bearer {token}"),) if token else None
