"""A server's door for the tests of the typed client's session: it judges tokens, and can hold what arrives."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from grpc_status import rpc_status
from marketplace.auth.v1 import auth_service_pb2, token_pb2
from marketplace_client import MarketplaceClient
from marketplace_client.methods import METHODS, TokenUse

Context = Any
AUTH = "/marketplace.auth.v1.AuthService/"


def access_token(serial: int, lifetime_seconds: float = 900.0, user_id: str = "jo") -> str:
    """Something with the shape of an access token."""
    claims = json.dumps({"sub": user_id, "iat": 1000, "exp": 1000 + lifetime_seconds, "jti": serial}).encode()
    return f"h.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.s"


class Held:
    """Something that has arrived at the door and is held there."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        self.arrived = asyncio.Event()
        self._go_on = asyncio.Event()

    async def wait(self) -> None:
        """Arrive, and wait until it is let go."""
        self.arrived.set()
        await self._go_on.wait()

    async def until_arrived(self) -> None:
        """Wait for it; not for ever."""
        await asyncio.wait_for(self.arrived.wait(), 10)

    def let_go(self) -> None:
        """Let it go on."""
        self._go_on.set()


class Door(grpc.GenericRpcHandler):
    """A server that judges tokens as the real one does, and answers everything else with an empty message."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        """Why a token is refused, wherever it comes."""
        self.refresh_reason = ""
        self.lifetime = 900.0
        self.seen: list[tuple[str, str]] = []
        """The method and the token of each call."""
        self.before_refusing: Callable[[], Awaitable[None]] | None = None
        self.held: dict[str, Held] = {}
        """Refresh tokens whose exchange waits, and then ends with a reason ("": with tokens)."""
        self._refused: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._serial = 0

    def tokens(self, user_id: str = "jo") -> token_pb2.Tokens:
        """A fresh pair."""
        self._serial += 1
        return token_pb2.Tokens(
            access_token=access_token(self._serial, self.lifetime, user_id), refresh_token=f"r{self._serial}"
        )

    def tokens_of(self, method: str) -> list[str]:
        """The tokens that came with calls of the method."""
        return [token for seen, token in self.seen if seen == method]

    async def until_refused(self, method: str) -> None:
        """Wait until a call of the method was refused; the answer to whatever comes later follows its refusal."""
        await asyncio.wait_for(self._refused[method].wait(), 10)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        path = details.method

        async def unary(request: bytes, context: Context) -> bytes:
            await self._judge(path, context)
            if path == f"{AUTH}Login":
                user_id = auth_service_pb2.LoginRequest.FromString(request).login
                return auth_service_pb2.LoginResponse(tokens=self.tokens(user_id)).SerializeToString()
            if path == f"{AUTH}RefreshTokens":
                held = self.held.get(auth_service_pb2.RefreshTokensRequest.FromString(request).refresh_token)
                if held is not None:
                    await held.wait()
                reason = self.refresh_reason if held is None else held.reason
                if reason:
                    await refuse(context, reason)
                return auth_service_pb2.RefreshTokensResponse(tokens=self.tokens()).SerializeToString()
            return b""

        async def stream(request: Any, context: Context) -> AsyncIterator[bytes]:
            await self._judge(path, context)
            yield b""

        if "Watch" in path:
            return grpc.unary_stream_rpc_method_handler(stream)
        if "Import" in path:
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)

    async def _judge(self, path: str, context: Context) -> None:
        metadata: dict[str, str] = dict(context.invocation_metadata())
        token = metadata.get("authorization", "").removeprefix("Bearer ")
        self.seen.append((path, token))
        if token in self.refused:
            if self.before_refusing is not None:
                await self.before_refusing()
            try:
                await refuse(context, self.refused[token])
            finally:
                self._refused[path].set()
        if not token and METHODS[path].token_use is TokenUse.NEEDED:
            if self.before_refusing is not None:
                await self.before_refusing()
            await refuse(context, "UNAUTHENTICATED")


async def refuse(context: Context, reason: str) -> None:
    """End the call as the server's error funnel does."""
    code = grpc.StatusCode.UNAVAILABLE if reason == "OVERLOADED" else grpc.StatusCode.UNAUTHENTICATED
    code = grpc.StatusCode.PERMISSION_DENIED if reason == "ACCOUNT_BLOCKED" else code
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="marketplace.dev"))
    status = status_pb2.Status(code=code.value[0], message="no", details=[detail])
    await context.abort_with_status(rpc_status.to_status(status))


@asynccontextmanager
async def signed_in(door: Door) -> AsyncIterator[MarketplaceClient]:
    """A client with a session at the door, on a free port."""
    server = grpc.aio.server(handlers=[door])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with MarketplaceClient(f"127.0.0.1:{port}") as client:
            await client.login("jo", "p")
            yield client
    finally:
        await server.stop(None)
