"""AuthService and UserService: from messages to use cases and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marketplace.auth.v1 import auth_service_pb2, auth_service_pb2_grpc, user_service_pb2, user_service_pb2_grpc

from marketd.auth import convert, service
from marketd.auth.keys import KeyRing
from marketd.auth.signing_in import Login, Register, SigningIn
from marketd.kernel import call as calls
from marketd.kernel.ids import parse_id
from marketd.kernel.transactor import Transactor

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

MAX_DEVICE_NAME = 100


class AuthServicer(auth_service_pb2_grpc.AuthServiceServicer):
    """marketplace.auth.v1.AuthService."""

    def __init__(self, *, signing_in: SigningIn, keys: KeyRing) -> None:
        self._signing_in = signing_in
        self._keys = keys

    async def Register(
        self, request: auth_service_pb2.RegisterRequest, context: Context
    ) -> auth_service_pb2.RegisterResponse:
        """Registers an account and signs it in."""
        command = Register(
            email=request.email,
            username=request.username,
            phone=request.phone,
            full_name=request.full_name,
            device_name=_device_name(request.device_name),
            password=request.password,
        )
        done = await self._signing_in.register(calls.current_caller(), command)
        return auth_service_pb2.RegisterResponse(
            user=convert.to_user(done.account), tokens=convert.to_tokens(done.tokens)
        )

    async def Login(self, request: auth_service_pb2.LoginRequest, context: Context) -> auth_service_pb2.LoginResponse:
        """Signs in."""
        command = Login(
            login=request.login,
            device_name=_device_name(request.device_name),
            password=request.password,
            guest_cart_token=request.guest_cart_token,
        )
        done = await self._signing_in.login(calls.current_caller(), command)
        return auth_service_pb2.LoginResponse(
            user=convert.to_user(done.account),
            tokens=convert.to_tokens(done.tokens),
            cart_merge=None if done.merge is None else convert.to_cart_merge(done.merge),
        )

    async def RefreshTokens(
        self, request: auth_service_pb2.RefreshTokensRequest, context: Context
    ) -> auth_service_pb2.RefreshTokensResponse:
        """Exchanges a refresh token."""
        pair = await self._signing_in.refresh(request.refresh_token)
        return auth_service_pb2.RefreshTokensResponse(tokens=convert.to_tokens(pair))

    async def Logout(
        self, request: auth_service_pb2.LogoutRequest, context: Context
    ) -> auth_service_pb2.LogoutResponse:
        """Ends the session that calls."""
        await self._signing_in.logout(calls.current_caller())
        return auth_service_pb2.LogoutResponse()

    async def GetJsonWebKeySet(
        self, request: auth_service_pb2.GetJsonWebKeySetRequest, context: Context
    ) -> auth_service_pb2.GetJsonWebKeySetResponse:
        """Gives the public keys."""
        keys = [convert.to_json_web_key(key) for key in self._keys.public_keys()]
        return auth_service_pb2.GetJsonWebKeySetResponse(keys=keys)


class UserServicer(user_service_pb2_grpc.UserServiceServicer):
    """marketplace.auth.v1.UserService."""

    def __init__(self, *, tx: Transactor) -> None:
        self._tx = tx

    async def GetUser(
        self, request: user_service_pb2.GetUserRequest, context: Context
    ) -> user_service_pb2.GetUserResponse:
        """Gets an account."""
        caller = calls.current_caller()
        account_id = caller.account if request.user_id == "me" else parse_id(request.user_id)
        account = await self._tx.read(lambda unit: service.read_account(unit, caller, account_id))
        return user_service_pb2.GetUserResponse(user=convert.to_user(account))


def _device_name(given: str) -> str:
    return given or calls.current().user_agent[:MAX_DEVICE_NAME]
