"""What keeps an account: a person who waits for an order stays one."""

from __future__ import annotations

import grpc
import pytest
from marketplace.auth.v1 import user_service_pb2

from tests.worlds.matrix import Market
from tests.worlds.things import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("way", ["placed", "paid", "accepted"])
async def test_an_account_is_not_deleted_while_an_order_of_its_is_open(market: Market, way: str) -> None:
    trip = await getattr(market, way)()
    request = user_service_pb2.DeleteUserRequest(user_id="me", password=PASSWORD)
    answer = await market.send_as(trip.buyer.token, "/marketplace.auth.v1.UserService/DeleteUser", request)
    assert answer.code is grpc.StatusCode.FAILED_PRECONDITION
    assert answer.reason == "IN_USE"
    number = trip.group.orders[0].order_number
    assert number in answer.text
