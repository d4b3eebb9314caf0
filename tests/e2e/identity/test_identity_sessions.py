"""Sessions, second factors and service accounts as a client meets them, over the socket."""

from __future__ import annotations

from uuid import uuid4

import grpc
import pyotp
import pytest
from marketplace.auth.v1 import auth_service_pb2 as pb
from marketplace.auth.v1 import user_service_pb2

from tests.canaries import MARK
from tests.e2e.identity.statuses import reason_of
from tests.worlds.workers import PASSWORD, Person, Worker

Workers = tuple[Worker, Worker]
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_sessions_are_listed_with_device_address_and_times_page_by_page(workers: Workers) -> None:
    worker = workers[0]
    first = await worker.register()
    others = [await worker.login(first.email, device_name=f"phone {number}") for number in range(4)]
    stranger = await worker.register()
    names, token = [], ""
    while True:
        request = pb.ListSessionsRequest(page_size=2, page_token=token)
        page = await worker.auth.ListSessions(request, metadata=first.metadata)
        assert len(page.sessions) <= 2
        names += [session.device_name for session in page.sessions]
        token = page.next_page_token
        if not token:
            break
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await worker.auth.ListSessions(
                pb.ListSessionsRequest(page_size=2, page_token=token), metadata=stranger.metadata
            )
        assert reason_of(refused.value) == "PAGE_TOKEN_INVALID"
    assert names[:4] == ["phone 3", "phone 2", "phone 1", "phone 0"]
    assert len(names) == 5
    whole = (await worker.auth.ListSessions(pb.ListSessionsRequest(), metadata=others[1].metadata)).sessions
    assert [session.current for session in whole] == [False, False, True, False, False]
    assert {session.address for session in whole} == {"127.0.0.1"}
    assert all(session.create_time.seconds <= session.refresh_time.seconds for session in whole)
    assert all(session.refresh_time.seconds < session.expire_time.seconds for session in whole)


async def test_a_session_is_revoked_by_its_owner_only_and_twice_is_once(workers: Workers) -> None:
    worker = workers[0]
    owner, stranger = await worker.register(), await worker.register()
    second = await worker.login(owner.email)
    revoke = pb.RevokeSessionRequest(session_id=second.tokens.session_id)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await worker.auth.RevokeSession(revoke, metadata=stranger.metadata)
    assert reason_of(refused.value) == "NOT_FOUND"
    await worker.auth.RevokeSession(revoke, metadata=owner.metadata)
    await worker.auth.RevokeSession(revoke, metadata=owner.metadata)
    left = (await worker.auth.ListSessions(pb.ListSessionsRequest(), metadata=owner.metadata)).sessions
    assert [session.session_id for session in left] == [owner.tokens.session_id]


async def test_a_second_factor_from_enrolling_to_removing_it(workers: Workers) -> None:
    worker = workers[0]
    person = await worker.register()
    enrolled = await worker.auth.EnrollTotp(pb.EnrollTotpRequest(password=PASSWORD), metadata=person.metadata)
    otp = pyotp.TOTP(enrolled.secret)
    code = otp.now()
    confirmed = await worker.auth.ConfirmTotp(pb.ConfirmTotpRequest(totp_code=code), metadata=person.metadata)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await worker.login(person.email)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.UNAUTHENTICATED, "TOTP_REQUIRED")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await workers[1].login(person.email, totp_code=code)
    assert reason_of(refused.value) == "TOTP_REQUIRED"
    again = await workers[1].login(person.email, recovery_code=confirmed.recovery_codes[0])
    me = user_service_pb2.GetUserRequest(user_id="me")
    assert (await worker.users.GetUser(me, metadata=again.metadata)).user.totp_enabled
    disable = pb.DisableTotpRequest(recovery_code=confirmed.recovery_codes[1])
    await worker.auth.DisableTotp(disable, metadata=again.metadata)
    assert (await worker.login(person.email)).user_id == person.user_id


async def test_only_admins_make_list_and_revoke_service_accounts(own_workers: Workers, own_boss: Person) -> None:
    worker, boss = own_workers[0], own_boss
    person = await worker.register()
    made = await worker.auth.CreateServiceAccount(pb.CreateServiceAccountRequest(name="router"), metadata=boss.metadata)
    account = made.service_account
    for call, request in (
        (worker.auth.CreateServiceAccount, pb.CreateServiceAccountRequest(name="other")),
        (worker.auth.ListServiceAccounts, pb.ListServiceAccountsRequest()),
        (
            worker.auth.RevokeServiceAccount,
            pb.RevokeServiceAccountRequest(service_account_id=account.service_account_id),
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(request, metadata=person.metadata)
        assert reason_of(refused.value) == "ROLE_REQUIRED"
    listed = await worker.auth.ListServiceAccounts(pb.ListServiceAccountsRequest(), metadata=boss.metadata)
    assert [each.name for each in listed.service_accounts] == ["router"]
    assert made.client_secret not in str(listed)


async def test_a_service_is_no_user(workers: Workers, boss: Person) -> None:
    worker = workers[0]
    made = await worker.auth.CreateServiceAccount(
        pb.CreateServiceAccountRequest(name=f"router-{uuid4().hex}"), metadata=boss.metadata
    )
    issued = await worker.auth.IssueServiceToken(
        pb.IssueServiceTokenRequest(client_id=made.service_account.client_id, client_secret=made.client_secret)
    )
    metadata = [("authorization", f"Bearer {issued.access_token}")]
    for call, request in (
        (worker.auth.SendVerification, pb.SendVerificationRequest(channel=pb.VERIFICATION_CHANNEL_EMAIL)),
        (worker.auth.Verify, pb.VerifyRequest(channel=pb.VERIFICATION_CHANNEL_EMAIL, code="123456")),
        (
            worker.auth.ChangePassword,
            pb.ChangePasswordRequest(current_password="x", new_password=f"a new horse 1 {MARK}"),
        ),
        (worker.auth.ChangeEmail, pb.ChangeEmailRequest(email="router@shop.example", password=PASSWORD)),
        (worker.auth.ChangePhone, pb.ChangePhoneRequest(phone="+491701234567", password=PASSWORD)),
        (worker.auth.EnrollTotp, pb.EnrollTotpRequest(password=PASSWORD)),
        (worker.auth.ConfirmTotp, pb.ConfirmTotpRequest(totp_code="123456")),
        (worker.auth.DisableTotp, pb.DisableTotpRequest(totp_code="123456")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(request, metadata=metadata)
        assert reason_of(refused.value) == "NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await worker.auth.Logout(pb.LogoutRequest(), metadata=metadata)
    assert reason_of(refused.value) == "SESSION_REVOKED"
    assert not (await worker.auth.ListSessions(pb.ListSessionsRequest(), metadata=metadata)).sessions


async def test_blanks_around_a_login_mean_nothing(workers: Workers) -> None:
    """Keyboards put one behind a completed address."""
    worker, name = workers[0], f"ida-{uuid4().hex[:12]}"
    request = pb.RegisterRequest(email=f" {name}@shop.example\t", username=f"{name} ", password=PASSWORD)
    user = (await worker.auth.Register(request)).user
    assert (user.email, user.username) == (f"{name}@shop.example", name)
    for login in (f"{name}@shop.example ", f"\u00a0{name}\n"):
        assert (await worker.login(login)).user_id == user.user_id
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await worker.login("  ")
    assert reason_of(refused.value) == "VALIDATION_FAILED"
