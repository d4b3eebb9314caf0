"""MARKETD_ADMIN_TOTP over the socket: an admin without a second factor is told what to do, and does it."""

from __future__ import annotations

import grpc
import pyotp
import pytest
from marketd.config import Settings
from marketplace.auth.v1 import auth_service_pb2 as pb
from marketplace.auth.v1 import user_service_pb2

from tests.canaries import WATCH
from tests.e2e.identity.statuses import reason_of
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD
from tests.worlds.workers import make_admin, pair

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_admin_sets_a_second_factor_up_and_signs_in_again(settings: Settings) -> None:
    await make_admin(settings)
    async with pair(settings.model_copy(update={"admin_totp": True})) as (worker, other):
        boss = await worker.login(ADMIN_EMAIL, ADMIN_PASSWORD)
        with pytest.raises(grpc.aio.AioRpcError, match="EnrollTotp and ConfirmTotp") as refused:
            await worker.users.ListUsers(user_service_pb2.ListUsersRequest(), metadata=boss.metadata)
        assert reason_of(refused.value) == "ROLE_REQUIRED"
        buyer = await worker.register()
        with pytest.raises(grpc.aio.AioRpcError, match="an account that has such a role"):
            await worker.users.ListUsers(user_service_pb2.ListUsersRequest(), metadata=buyer.metadata)
        enroll = pb.EnrollTotpRequest(password=ADMIN_PASSWORD)
        otp = pyotp.TOTP((await worker.auth.EnrollTotp(enroll, metadata=boss.metadata)).secret)
        confirm = pb.ConfirmTotpRequest(totp_code=WATCH.code(otp.now()))
        codes = (await worker.auth.ConfirmTotp(confirm, metadata=boss.metadata)).recovery_codes
        with pytest.raises(grpc.aio.AioRpcError):
            await other.users.ListUsers(user_service_pb2.ListUsersRequest(), metadata=boss.metadata)
        proven = await worker.login(ADMIN_EMAIL, ADMIN_PASSWORD, recovery_code=codes[0])
        await other.users.ListUsers(user_service_pb2.ListUsersRequest(), metadata=proven.metadata)
        listed = await worker.auth.ListSessions(pb.ListSessionsRequest(), metadata=proven.metadata)
        assert [each.second_factor for each in listed.sessions] == [True, False]
