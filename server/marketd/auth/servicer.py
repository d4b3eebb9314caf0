"""AuthService: from messages to use cases and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.auth.v1 import auth_service_pb2, auth_service_pb2_grpc

from marketd.auth import convert
from marketd.auth.accounts.convert import to_user
from marketd.auth.codes.recover import ChangePassword, Recovering
from marketd.auth.codes.second_factor import SecondFactor
from marketd.auth.codes.values import FactorProof
from marketd.auth.codes.verify import Verifying
from marketd.auth.services import service_accounts
from marketd.auth.services.service_accounts import ServiceAccounts
from marketd.auth.sessions import session
from marketd.auth.sessions.keys import KeyRing
from marketd.auth.sessions.sign_in import LogIn, RegisterAccount, SigningIn
from marketd.auth.sessions.values import SessionRules
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.pages import Pager
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.wire import to_timestamp

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

MAX_DEVICE_NAME = 100


class AuthServicer(auth_service_pb2_grpc.AuthServiceServicer):
    """marketplace.auth.v1.AuthService."""

    def __init__(
        self,
        *,
        tx: Transactor,
        pager: Pager,
        keys: KeyRing,
        rules: SessionRules,
        signing_in: SigningIn,
        verifying: Verifying,
        recovering: Recovering,
        factor: SecondFactor,
        services: ServiceAccounts,
    ) -> None:
        self._tx = tx
        self._pager = pager
        self._keys = keys
        self._rules = rules
        self._signing_in = signing_in
        self._verifying = verifying
        self._recovering = recovering
        self._factor = factor
        self._services = services

    async def Register(
        self, request: auth_service_pb2.RegisterRequest, context: Context
    ) -> auth_service_pb2.RegisterResponse:
        command = RegisterAccount(
            email=request.email,
            username=request.username,
            phone=request.phone,
            full_name=request.full_name,
            device_name=_device_name(request.device_name),
            password=request.password,
        )
        done = await self._signing_in.register(calls.current_caller(), command)
        return auth_service_pb2.RegisterResponse(user=to_user(done.account), tokens=convert.to_tokens(done.tokens))

    async def Login(self, request: auth_service_pb2.LoginRequest, context: Context) -> auth_service_pb2.LoginResponse:
        command = LogIn(
            login=request.login,
            device_name=_device_name(request.device_name),
            password=request.password,
            guest_cart_token=request.guest_cart_token,
            proof=FactorProof(request.totp_code, request.recovery_code),
        )
        done = await self._signing_in.login(calls.current_caller(), command)
        return auth_service_pb2.LoginResponse(
            user=to_user(done.account),
            tokens=convert.to_tokens(done.tokens),
            cart_merge=None if done.merge is None else convert.to_cart_merge(done.merge),
        )

    async def RefreshTokens(
        self, request: auth_service_pb2.RefreshTokensRequest, context: Context
    ) -> auth_service_pb2.RefreshTokensResponse:
        pair = await self._signing_in.refresh(request.refresh_token)
        return auth_service_pb2.RefreshTokensResponse(tokens=convert.to_tokens(pair))

    async def Logout(
        self, request: auth_service_pb2.LogoutRequest, context: Context
    ) -> auth_service_pb2.LogoutResponse:
        await self._signing_in.logout(calls.current_caller())
        return auth_service_pb2.LogoutResponse()

    async def LogoutAll(
        self, request: auth_service_pb2.LogoutAllRequest, context: Context
    ) -> auth_service_pb2.LogoutAllResponse:
        caller = _oneself()
        await self._tx.run("auth.logout_all", lambda uow: session.log_out_everywhere(uow, caller))
        return auth_service_pb2.LogoutAllResponse()

    async def ListSessions(
        self, request: auth_service_pb2.ListSessionsRequest, context: Context
    ) -> auth_service_pb2.ListSessionsResponse:
        caller = calls.current_caller()
        page = await self._pager.list(
            request,
            caller,
            lambda unit, before, limit: session.list_sessions(unit, self._rules, caller, before, limit),
            lambda row: row.session_id,
            lambda row: convert.to_session(row, caller.session_id),
        )
        return auth_service_pb2.ListSessionsResponse(sessions=page.items, next_page_token=page.next_page_token)

    async def RevokeSession(
        self, request: auth_service_pb2.RevokeSessionRequest, context: Context
    ) -> auth_service_pb2.RevokeSessionResponse:
        caller, session_id = calls.current_caller(), UUID(request.session_id)
        await self._tx.run("auth.revoke_session", lambda uow: session.end_own_session(uow, caller, session_id))
        return auth_service_pb2.RevokeSessionResponse()

    async def SendVerification(
        self, request: auth_service_pb2.SendVerificationRequest, context: Context
    ) -> auth_service_pb2.SendVerificationResponse:
        end = await self._verifying.send(_oneself(), convert.CHANNELS.from_wire(request.channel))
        return auth_service_pb2.SendVerificationResponse(expire_time=to_timestamp(end))

    async def Verify(
        self, request: auth_service_pb2.VerifyRequest, context: Context
    ) -> auth_service_pb2.VerifyResponse:
        account = await self._verifying.verify(_oneself(), convert.CHANNELS.from_wire(request.channel), request.code)
        return auth_service_pb2.VerifyResponse(user=to_user(account))

    async def RequestPasswordReset(
        self, request: auth_service_pb2.RequestPasswordResetRequest, context: Context
    ) -> auth_service_pb2.RequestPasswordResetResponse:
        await self._recovering.request(request.email, calls.current_caller().address)
        return auth_service_pb2.RequestPasswordResetResponse()

    async def ResetPassword(
        self, request: auth_service_pb2.ResetPasswordRequest, context: Context
    ) -> auth_service_pb2.ResetPasswordResponse:
        await self._recovering.reset(calls.current_caller(), request.token, request.new_password)
        return auth_service_pb2.ResetPasswordResponse()

    async def ChangePassword(
        self, request: auth_service_pb2.ChangePasswordRequest, context: Context
    ) -> auth_service_pb2.ChangePasswordResponse:
        command = ChangePassword(request.current_password, request.new_password)
        await self._recovering.change(_oneself(), command)
        return auth_service_pb2.ChangePasswordResponse()

    async def EnrollTotp(
        self, request: auth_service_pb2.EnrollTotpRequest, context: Context
    ) -> auth_service_pb2.EnrollTotpResponse:
        made = await self._factor.enroll(_oneself())
        return auth_service_pb2.EnrollTotpResponse(secret=made.secret, otpauth_uri=made.uri)

    async def ConfirmTotp(
        self, request: auth_service_pb2.ConfirmTotpRequest, context: Context
    ) -> auth_service_pb2.ConfirmTotpResponse:
        codes = await self._factor.confirm(_oneself(), request.totp_code)
        return auth_service_pb2.ConfirmTotpResponse(recovery_codes=codes)

    async def DisableTotp(
        self, request: auth_service_pb2.DisableTotpRequest, context: Context
    ) -> auth_service_pb2.DisableTotpResponse:
        await self._factor.disable(_oneself(), FactorProof(request.totp_code, request.recovery_code))
        return auth_service_pb2.DisableTotpResponse()

    async def IssueServiceToken(
        self, request: auth_service_pb2.IssueServiceTokenRequest, context: Context
    ) -> auth_service_pb2.IssueServiceTokenResponse:
        token = await self._services.issue(calls.current_caller(), request.client_id, request.client_secret)
        return auth_service_pb2.IssueServiceTokenResponse(
            access_token=token.text, access_expire_time=to_timestamp(token.expire_time)
        )

    async def CreateServiceAccount(
        self, request: auth_service_pb2.CreateServiceAccountRequest, context: Context
    ) -> auth_service_pb2.CreateServiceAccountResponse:
        made = await self._services.create(calls.current_caller(), request.name)
        return auth_service_pb2.CreateServiceAccountResponse(
            service_account=convert.to_service_account(made.account), client_secret=made.client_secret
        )

    async def ListServiceAccounts(
        self, request: auth_service_pb2.ListServiceAccountsRequest, context: Context
    ) -> auth_service_pb2.ListServiceAccountsResponse:
        page = await self._pager.list(
            request,
            calls.current_caller(),
            service_accounts.list_service_accounts,
            lambda row: row.service_account_id,
            convert.to_service_account,
        )
        return auth_service_pb2.ListServiceAccountsResponse(
            service_accounts=page.items, next_page_token=page.next_page_token
        )

    async def RevokeServiceAccount(
        self, request: auth_service_pb2.RevokeServiceAccountRequest, context: Context
    ) -> auth_service_pb2.RevokeServiceAccountResponse:
        account = await self._services.revoke(calls.current_caller(), UUID(request.service_account_id))
        return auth_service_pb2.RevokeServiceAccountResponse(service_account=convert.to_service_account(account))

    async def GetJsonWebKeySet(
        self, request: auth_service_pb2.GetJsonWebKeySetRequest, context: Context
    ) -> auth_service_pb2.GetJsonWebKeySetResponse:
        keys = [convert.to_json_web_key(key) for key in self._keys.public_keys()]
        return auth_service_pb2.GetJsonWebKeySetResponse(keys=keys)


def _oneself() -> Caller:
    """The caller, about whom the call is; the audit log says so also when it is refused."""
    caller = calls.current_caller()
    calls.current().about = f"user/{caller.known_user_id}"
    return caller


def _device_name(given: str) -> str:
    return given or calls.current().user_agent[:MAX_DEVICE_NAME]
