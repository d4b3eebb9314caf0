"""A COMMIT whose answer never comes, as a caller sees it: the outcome is unknown, and the request id finds it out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import grpc
import pytest
from marketd import app as composition
from marketd.config import Settings
from marketd.process.process import App
from marketplace.auth.v1 import (
    auth_service_pb2,
    auth_service_pb2_grpc,
    user_service_pb2,
    user_service_pb2_grpc,
)
from marketplace.auth.v1.address_pb2 import SavedAddress
from marketplace.type.v1.address_pb2 import Address
from marketplace_client.errors import from_rpc_error
from pydantic import SecretStr

from tests.canaries import MARK
from tests.canary_looks import look_at_metrics
from tests.integration.wires import Wire

CALL_SECONDS = 10.0


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    """The wire to the database."""
    async with Wire(database_url) as opened:
        yield opened


@pytest.fixture
async def app(settings: Settings, wire: Wire) -> AsyncIterator[App]:
    """A server behind the wire that does nothing by itself: whatever it commits is a call's."""
    far = {"database_url": SecretStr(wire.url), "run_worker": False}
    built = await composition.build(settings.model_copy(update=far))
    await built.start()
    yield built
    look_at_metrics(built.admin_port)
    await built.stop(1)


@pytest.mark.parametrize("is_committed", [True, False], ids=["answer-lost", "commit-lost"])
async def test_a_repeat_after_a_lost_commit_gets_its_answer_and_there_is_one_effect(
    channel: grpc.aio.Channel, wire: Wire, is_committed: bool
) -> None:
    asked = auth_service_pb2.RegisterRequest(email="kim@example.com", password=f"a passphrase for everybody {MARK}")
    registered = await auth_service_pb2_grpc.AuthServiceStub(channel).Register(asked, timeout=CALL_SECONDS)
    bearer = (("authorization", f"Bearer {registered.tokens.access_token}"),)
    users = user_service_pb2_grpc.UserServiceStub(channel)
    home = Address(recipient="Kim", lines=["Kastanienallee 9"], city="Berlin", postal_code="10435", region_code="DE")
    request = user_service_pb2.CreateAddressRequest(request_id=str(uuid4()), address=SavedAddress(postal_address=home))

    (wire.lose_answer_to if is_committed else wire.lose)(b"COMMIT")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await users.CreateAddress(request, metadata=bearer, timeout=CALL_SECONDS)
    refusal = from_rpc_error(raised.value, "CreateAddress")
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert refusal.metadata["outcome"] == "unknown"

    again = users.CreateAddress(request, metadata=bearer, timeout=CALL_SECONDS)
    made = (await again).address
    assert ("replayed" in dict(await again.trailing_metadata())) is is_committed
    everything = user_service_pb2.ListAddressesRequest()
    listed = await users.ListAddresses(everything, metadata=bearer, timeout=CALL_SECONDS)
    assert [address.address_id for address in listed.addresses] == [made.address_id]
