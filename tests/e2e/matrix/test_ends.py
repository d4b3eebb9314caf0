"""What keeps an account: a person who waits for an order stays one."""

from __future__ import annotations

import grpc
import pytest
from marketd.kernel.call.caller import Role
from marketplace.auth.v1 import user_service_pb2

from tests.worlds.matrix import Market
from tests.worlds.things import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("password", [PASSWORD, ""])
@pytest.mark.parametrize("way", ["placed", "paid", "accepted"])
async def test_an_account_is_not_deleted_while_an_order_of_its_is_open(market: Market, way: str, password: str) -> None:
    trip = await getattr(market, way)()
    # What is in the way is said before a proof is asked for.
    request = user_service_pb2.DeleteUserRequest(user_id="me")
    if password:
        request.password = password
    answer = await market.send_as(trip.buyer.token, "/marketplace.auth.v1.UserService/DeleteUser", request)
    assert answer.code is grpc.StatusCode.FAILED_PRECONDITION
    assert answer.reason == "IN_USE"
    number = trip.group.orders[0].order_number
    assert number in answer.text


async def test_without_a_proof_no_account_is_deleted(market: Market) -> None:
    person = await market.person(Role.BUYER)
    request = user_service_pb2.DeleteUserRequest(user_id="me")
    answer = await market.send_as(person.token, "/marketplace.auth.v1.UserService/DeleteUser", request)
    assert answer.reason == "VALIDATION_FAILED"
    assert "password" in answer.text
    still = await market.call(user_service_pb2.GetUserRequest(user_id="me"), person)
    assert still.user.email == person.email
