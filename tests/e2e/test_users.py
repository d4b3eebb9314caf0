"""Accounts over the wire: blocks and roles that reach another worker and its open streams, and addresses for orders."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from marketplace.auth.v1 import address_pb2, user_pb2, user_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.delivery.v1 import courier_pb2, courier_service_pb2, delivery_service_pb2
from marketplace.policy.v1 import policy_pb2
from marketplace.type.v1.address_pb2 import Address
from marketplace_client import MarketplaceClient, MarketplaceError

from tests.canaries import MARK
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD
from tests.worlds.workers import Worker

PASSWORD = f"a passphrase for everybody {MARK}"
SOON_SECONDS = 2.0
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def boss(workers: tuple[Worker, Worker]) -> AsyncIterator[MarketplaceClient]:
    """The administrator, signed in at the first worker."""
    async with MarketplaceClient(f"127.0.0.1:{workers[0].app.port}") as client:
        await client.login(ADMIN_EMAIL, ADMIN_PASSWORD)
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def rider(workers: tuple[Worker, Worker]) -> AsyncIterator[tuple[MarketplaceClient, str]]:
    """A new account with its id, signed in at the second worker."""
    async with MarketplaceClient(f"127.0.0.1:{workers[1].app.port}") as client:
        yield client, (await client.register(f"{uuid4()}@example.com", PASSWORD)).user_id


async def _roles(boss: MarketplaceClient, user_id: str, *roles: policy_pb2.Role.ValueType) -> user_pb2.User:
    request = user_service_pb2.SetUserRolesRequest(request_id=str(uuid4()), user_id=user_id, roles=roles)
    return (await boss.user.SetUserRoles(request)).user


async def _watch(boss: MarketplaceClient, client: MarketplaceClient) -> Any:
    """A courier's stream that stands: WatchDeliveries, as soon as the approval is known at that worker."""
    applicant = courier_pb2.Courier(first_name="Kim", last_name="Lee", vehicle=courier_pb2.VEHICLE_TYPE_BICYCLE)
    apply = courier_service_pb2.CreateCourierRequest(courier=applicant, request_id=str(uuid4()))
    courier_id = (await client.courier.CreateCourier(apply)).courier.courier_id
    await boss.courier.ApproveCourier(courier_service_pb2.ApproveCourierRequest(courier_id=courier_id))
    give_up = time.monotonic() + SOON_SECONDS
    while True:
        call = client.delivery.WatchDeliveries(delivery_service_pb2.WatchDeliveriesRequest())
        try:
            await call.read()
            return call
        except MarketplaceError:
            if time.monotonic() > give_up:
                raise


async def _refusal_soon(call: Callable[[], Awaitable[object]]) -> str:
    """The reason why the call is refused from some time on, within two seconds."""
    give_up = time.monotonic() + SOON_SECONDS
    while time.monotonic() < give_up:
        try:
            await call()
        except MarketplaceError as error:
            return error.reason
    return "none"


async def _end_of(call: Any) -> tuple[str, float]:
    """Read to the end; the reason of the status, and the seconds until then."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(SOON_SECONDS + 5):
            while await call.read() is not grpc.aio.EOF:
                pass
        raise AssertionError(f"the stream ended well: {await call.code()}")
    except MarketplaceError as error:
        return error.reason, time.monotonic() - started


async def test_a_block_ends_the_streams_at_another_worker_and_its_calls(
    boss: MarketplaceClient, rider: tuple[MarketplaceClient, str]
) -> None:
    client, user_id = rider
    stream = await _watch(boss, client)
    await boss.user.BlockUser(user_service_pb2.BlockUserRequest(user_id=user_id, reason="lost a bag"))
    reason, seconds = await _end_of(stream)
    assert reason == "ACCOUNT_BLOCKED"
    assert seconds <= SOON_SECONDS
    with pytest.raises(MarketplaceError) as refused:
        await client.user.GetUser(user_service_pb2.GetUserRequest(user_id="me"))
    assert refused.value.reason == "ACCOUNT_BLOCKED"


async def test_a_role_that_is_taken_ends_the_streams_at_another_worker_and_closes_its_methods(
    boss: MarketplaceClient, rider: tuple[MarketplaceClient, str]
) -> None:
    client, user_id = rider
    stream = await _watch(boss, client)
    await _roles(boss, user_id, policy_pb2.ROLE_BUYER)
    reason, seconds = await _end_of(stream)
    assert reason == "ROLE_REQUIRED"
    assert seconds <= SOON_SECONDS
    again = client.delivery.WatchDeliveries(delivery_service_pb2.WatchDeliveriesRequest())
    assert (await _end_of(again))[0] == "ROLE_REQUIRED"
    # The session lives on; only the role is gone.
    me = (await client.user.GetUser(user_service_pb2.GetUserRequest(user_id="me"))).user
    assert list(me.roles) == [policy_pb2.ROLE_BUYER]


async def test_a_deleted_account_is_out_at_every_worker(
    workers: tuple[Worker, Worker], boss: MarketplaceClient, rider: tuple[MarketplaceClient, str]
) -> None:
    client, user_id = rider
    tokens = client.tokens
    assert tokens is not None
    async with MarketplaceClient(f"127.0.0.1:{workers[0].app.port}", access_token=tokens.access_token) as elsewhere:
        me = user_service_pb2.GetUserRequest(user_id="me")
        assert (await elsewhere.user.GetUser(me)).user.user_id == user_id
        await client.user.DeleteUser(user_service_pb2.DeleteUserRequest(user_id="me", password=PASSWORD))
        assert await _refusal_soon(lambda: elsewhere.user.GetUser(me)) == "SESSION_REVOKED"
    left = (await boss.user.GetUser(user_service_pb2.GetUserRequest(user_id=user_id))).user
    assert (left.state, left.email) == (user_pb2.USER_STATE_DELETED, "")


def _update_user(paths: list[str], **fields: Any) -> user_service_pb2.UpdateUserRequest:
    user = user_pb2.User(**{"user_id": str(uuid4()), **fields})
    return user_service_pb2.UpdateUserRequest(user=user, update_mask=FieldMask(paths=paths))


def _update_address(paths: list[str], **fields: Any) -> user_service_pb2.UpdateAddressRequest:
    address = address_pb2.SavedAddress(**{"address_id": str(uuid4()), **fields})
    return user_service_pb2.UpdateAddressRequest(address=address, update_mask=FieldMask(paths=paths))


@pytest.mark.parametrize(
    "request_",
    [
        _update_user(["roles"], roles=[policy_pb2.ROLE_ADMIN]),
        _update_user(["email"], email="kim@example.com"),
        _update_user([], phone="030"),
        _update_user([], user_id="mine", full_name="Kim"),
        _update_address(["create_time"]),
        _update_address(["postal_address"]),
        _update_address(["postal_address.city"]),
        _update_address(["label"], address_id=""),
        user_service_pb2.CreateAddressRequest(),
        user_service_pb2.CreateAddressRequest(address=address_pb2.SavedAddress(label="nowhere")),
        user_service_pb2.CreateAddressRequest(address=address_pb2.SavedAddress(postal_address=Address(city="Berlin"))),
    ],
    ids=[
        *("roles", "email", "bad phone", "bad id", "created", "no address"),
        *("no city", "no id", "nothing", "nowhere", "no lines"),
    ],
)
async def test_what_the_server_owns_and_what_is_missing_is_refused_by_rule(
    rider: tuple[MarketplaceClient, str], request_: Any
) -> None:
    method = getattr(rider[0].user, type(request_).__name__.removesuffix("Request"))
    with pytest.raises(MarketplaceError) as refused:
        await method(request_)
    assert refused.value.reason == "VALIDATION_FAILED"


async def test_a_mask_that_names_the_address_is_told_what_changes_it(rider: tuple[MarketplaceClient, str]) -> None:
    with pytest.raises(MarketplaceError, match="changed by ChangeEmail"):
        await rider[0].user.UpdateUser(_update_user(["email"], user_id="me", email="kim@example.com"))


async def test_ones_own_account_is_changed_by_me(rider: tuple[MarketplaceClient, str]) -> None:
    client, user_id = rider
    after = (await client.user.UpdateUser(_update_user(["full_name"], user_id="me", full_name="Kim"))).user
    assert (after.user_id, after.full_name) == (user_id, "Kim")


async def test_fields_that_the_server_owns_have_no_effect(rider: tuple[MarketplaceClient, str]) -> None:
    client, user_id = rider
    mine = user_pb2.User(
        user_id=user_id,
        full_name="Kim",
        roles=[policy_pb2.ROLE_ADMIN],
        state=user_pb2.USER_STATE_BLOCKED,
        email_verified=True,
    )
    after = (await client.user.UpdateUser(user_service_pb2.UpdateUserRequest(user=mine))).user
    assert (after.user_id, after.full_name) == (user_id, "Kim")
    assert (list(after.roles), after.state, after.email_verified) == (
        [policy_pb2.ROLE_BUYER],
        user_pb2.USER_STATE_ACTIVE,
        False,
    )


@pytest.mark.parametrize("role", ["ROLE_SERVICE", "ROLE_GUEST", "ROLE_VIEWER", "ROLE_UNSPECIFIED"])
async def test_roles_that_no_person_has_cannot_be_given(
    boss: MarketplaceClient, rider: tuple[MarketplaceClient, str], role: str
) -> None:
    with pytest.raises(MarketplaceError) as refused:
        await _roles(boss, rider[1], policy_pb2.Role.Value(role))
    assert refused.value.reason == "VALIDATION_FAILED"


async def test_somebody_elses_address_is_as_good_as_none_for_a_quote(
    boss: MarketplaceClient, rider: tuple[MarketplaceClient, str]
) -> None:
    saved = address_pb2.SavedAddress(postal_address=Address(lines=["Markt 1"], city="Berlin"), label="Home")
    home = user_service_pb2.CreateAddressRequest(address=saved)
    foreign = (await boss.user.CreateAddress(home)).address.address_id
    own = (await rider[0].user.CreateAddress(home)).address.address_id
    reasons = []
    for address_id in (foreign, str(uuid4()), own):
        with pytest.raises(MarketplaceError) as refused:
            await rider[0].cart.QuoteOrder(cart_service_pb2.QuoteOrderRequest(address_id=address_id))
        reasons.append(refused.value.reason)
    assert reasons == ["NOT_FOUND", "NOT_FOUND", "CART_EMPTY"]
