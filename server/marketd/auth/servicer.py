"""AuthService: from messages to use cases and back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from marketplace.auth.v1 import auth_service_pb2, auth_service_pb2_grpc

from marketd.auth import convert
from marketd.auth.accounts.convert import to_user
from marketd.auth.codes.change import Changing
from marketd.auth.codes.enroll import Enrolling
from marketd.auth.codes.recover import ChangePassword, Recovering
from marketd.auth.codes.second_factor import SecondFactor
from marketd.auth.codes.undo import Undoing
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
from marketd.kernel.call.guest_tokens import GuestTokens
from marketd.kernel.call.pages import Pager, parse_order
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import M, Transactor, Work
from marketd.kernel.wire import to_timestamp

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

MAX_DEVICE_NAME = 100
T = TypeVar("T")


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
        enrolling: Enrolling,
        changing: Changing,
        undoing: Undoing,
        services: ServiceAccounts,
        guests: GuestTokens,
    ) -> None:
        self._tx = tx
        self._pager = pager
        self._keys = keys
        self._rules = rules
        self._signing_in = signing_in
        self._verifying = verifying
        self._recovering = recovering
        self._factor = factor
        self._enrolling = enrolling
        self._changing = changing
        self._undoing = undoing
        self._services = services
        self._guests = guests

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
            language_code=request.language_code,
        )
        done = await self._signing_in.register(calls.current_caller(), command)
        return auth_service_pb2.RegisterResponse(user=to_user(done.account), tokens=convert.to_tokens(done.tokens))

    async def Login(self, request: auth_service_pb2.LoginRequest, context: Context) -> auth_service_pb2.LoginResponse:
        command = LogIn(
            login=request.login,
            device_name=_device_name(request.device_name),
            password=request.password,
            # What is no token of ours is as good as none: it must not keep anybody from signing in.
            guest_cart_id=self._guests.read(request.guest_cart_token),
            merge_strategy=convert.from_merge_strategy(request.cart_merge_strategy),
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
        caller, descending = calls.current_caller(), _newest_first(request.order_by)
        page = await self._pager.list(
            request,
            caller,
            lambda unit, after, limit: session.list_sessions(
                unit, self._rules, caller, after, limit, descending=descending
            ),
            lambda row: row.session_id,
            lambda row: convert.to_session(row, caller.session_id),
        )
        return auth_service_pb2.ListSessionsResponse(sessions=page.items, next_page_token=page.next_page_token)

    async def RevokeSession(
        self, request: auth_service_pb2.RevokeSessionRequest, context: Context
    ) -> auth_service_pb2.RevokeSessionResponse:
        caller, session_id = calls.current_caller(), UUID(request.session_id)
        return await self._tx.answer(
            "auth.revoke_session",
            lambda uow: session.end_own_session(uow, caller, session_id),
            lambda _: auth_service_pb2.RevokeSessionResponse(),
        )

    async def SendVerification(
        self, request: auth_service_pb2.SendVerificationRequest, context: Context
    ) -> auth_service_pb2.SendVerificationResponse:
        caller, channel = _oneself(), convert.CHANNELS.from_wire(request.channel)
        return await self._tx.answer(
            "auth.send_verification",
            lambda uow: self._verifying.send(uow, caller, channel),
            lambda end: auth_service_pb2.SendVerificationResponse(expire_time=to_timestamp(end)),
        )

    async def Verify(
        self, request: auth_service_pb2.VerifyRequest, context: Context
    ) -> auth_service_pb2.VerifyResponse:
        caller, channel = _oneself(), convert.CHANNELS.from_wire(request.channel)
        return await self._tx.answer(
            "auth.verify",
            lambda uow: self._verifying.verify(uow, caller, channel, request.code),
            lambda account: auth_service_pb2.VerifyResponse(user=to_user(account)),
        )

    async def ChangeEmail(
        self, request: auth_service_pb2.ChangeEmailRequest, context: Context
    ) -> auth_service_pb2.ChangeEmailResponse:
        caller, proof = _oneself(), convert.from_proof(request)
        return await self._once(
            "auth.change_email",
            lambda: self._changing.prepare_email(caller, request.email, proof),
            lambda end: auth_service_pb2.ChangeEmailResponse(expire_time=to_timestamp(end)),
        )

    async def UndoEmailChange(
        self, request: auth_service_pb2.UndoEmailChangeRequest, context: Context
    ) -> auth_service_pb2.UndoEmailChangeResponse:
        caller = calls.current_caller()
        return await self._tx.answer(
            "auth.undo_email_change",
            lambda uow: self._undoing.undo(uow, caller, request.token),
            lambda _: auth_service_pb2.UndoEmailChangeResponse(),
        )

    async def ChangePhone(
        self, request: auth_service_pb2.ChangePhoneRequest, context: Context
    ) -> auth_service_pb2.ChangePhoneResponse:
        caller, proof = _oneself(), convert.from_proof(request)
        return await self._once(
            "auth.change_phone",
            lambda: self._changing.prepare_phone(caller, request.phone, proof),
            lambda end: auth_service_pb2.ChangePhoneResponse(expire_time=None if end is None else to_timestamp(end)),
        )

    async def RequestPasswordReset(
        self, request: auth_service_pb2.RequestPasswordResetRequest, context: Context
    ) -> auth_service_pb2.RequestPasswordResetResponse:
        await self._recovering.request(request.email, calls.current_caller().address)
        return auth_service_pb2.RequestPasswordResetResponse()

    async def ResetPassword(
        self, request: auth_service_pb2.ResetPasswordRequest, context: Context
    ) -> auth_service_pb2.ResetPasswordResponse:
        caller = calls.current_caller()
        return await self._once(
            "auth.reset_password",
            lambda: self._recovering.prepare_reset(caller, request.token, request.new_password),
            lambda _: auth_service_pb2.ResetPasswordResponse(),
        )

    async def ChangePassword(
        self, request: auth_service_pb2.ChangePasswordRequest, context: Context
    ) -> auth_service_pb2.ChangePasswordResponse:
        caller, command = _oneself(), ChangePassword(request.current_password, request.new_password)
        return await self._once(
            "auth.change_password",
            lambda: self._recovering.prepare_change(caller, command),
            lambda _: auth_service_pb2.ChangePasswordResponse(),
        )

    async def EnrollTotp(
        self, request: auth_service_pb2.EnrollTotpRequest, context: Context
    ) -> auth_service_pb2.EnrollTotpResponse:
        made = await self._enrolling.enroll(_oneself(), request.password)
        return auth_service_pb2.EnrollTotpResponse(secret=made.secret, otpauth_uri=made.uri)

    async def ConfirmTotp(
        self, request: auth_service_pb2.ConfirmTotpRequest, context: Context
    ) -> auth_service_pb2.ConfirmTotpResponse:
        codes = await self._factor.confirm(_oneself(), request.totp_code)
        return auth_service_pb2.ConfirmTotpResponse(recovery_codes=codes)

    async def DisableTotp(
        self, request: auth_service_pb2.DisableTotpRequest, context: Context
    ) -> auth_service_pb2.DisableTotpResponse:
        caller, proof = _oneself(), FactorProof(request.totp_code, request.recovery_code)
        return await self._once(
            "auth.disable_totp",
            lambda: self._factor.prepare_disable(caller, proof),
            lambda _: auth_service_pb2.DisableTotpResponse(),
        )

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
        caller = calls.current_caller()
        answer: auth_service_pb2.CreateServiceAccountResponse | bytes = await self._tx.answer(
            "auth.create_service_account",
            lambda uow: self._services.create(uow, caller, request.name),
            # Without the secret: this is stored.
            lambda account: auth_service_pb2.CreateServiceAccountResponse(
                service_account=convert.to_service_account(account)
            ),
        )
        if isinstance(answer, bytes):
            answer = auth_service_pb2.CreateServiceAccountResponse.FromString(answer)
        answer.client_secret = self._services.secret_of(UUID(answer.service_account.service_account_id))
        return answer

    async def ListServiceAccounts(
        self, request: auth_service_pb2.ListServiceAccountsRequest, context: Context
    ) -> auth_service_pb2.ListServiceAccountsResponse:
        descending = _newest_first(request.order_by)
        page = await self._pager.list(
            request,
            calls.current_caller(),
            lambda unit, after, limit: service_accounts.list_service_accounts(
                unit, after, limit, descending=descending
            ),
            lambda row: row.service_account_id,
            convert.to_service_account,
        )
        return auth_service_pb2.ListServiceAccountsResponse(
            service_accounts=page.items, next_page_token=page.next_page_token
        )

    async def RevokeServiceAccount(
        self, request: auth_service_pb2.RevokeServiceAccountRequest, context: Context
    ) -> auth_service_pb2.RevokeServiceAccountResponse:
        caller, service_account_id = calls.current_caller(), UUID(request.service_account_id)
        return await self._tx.answer(
            "auth.revoke_service_account",
            lambda uow: service_accounts.revoke(uow, caller, service_account_id),
            lambda account: auth_service_pb2.RevokeServiceAccountResponse(
                service_account=convert.to_service_account(account)
            ),
        )

    async def GetJsonWebKeySet(
        self, request: auth_service_pb2.GetJsonWebKeySetRequest, context: Context
    ) -> auth_service_pb2.GetJsonWebKeySetResponse:
        keys = [convert.to_json_web_key(key) for key in self._keys.public_keys()]
        return auth_service_pb2.GetJsonWebKeySetResponse(keys=keys)

    async def _once(
        self, name: str, prepare: Callable[[], Awaitable[Work[T | Refusal]]], render: Callable[[T], M]
    ) -> M:
        """Answer once for a request id what judges a password or a code before its own transaction.

        A repeat would be judged by what its own first run has left: the code is used, the password another one. So the
        stored answer is looked for before, and again when a repeat that came meanwhile was refused.
        """
        stored = await self._tx.stored_answer()
        if stored is None:
            try:
                return await self._tx.answer(name, await prepare(), render)
            except Refusal:
                stored = await self._tx.stored_answer()
                if stored is None:
                    raise
        # Serialized, as `answer` gives it.
        return cast("M", stored)


def _oneself() -> Caller:
    """The caller, about whom the call is; the audit log says so also when it is refused."""
    caller = calls.current_caller()
    calls.current().about = f"user/{caller.known_user_id}"
    return caller


def _newest_first(order_by: str) -> bool:
    return parse_order(order_by, ("create_time",), "create_time desc")[1]


def _device_name(given: str) -> str:
    return given or calls.current().user_agent[:MAX_DEVICE_NAME]
