"""The client's one list of services: all that the server serves stands there, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from marketd.app import access_table
from marketplace.admin.v1 import admin_service_pb2
from marketplace.admin.v1.admin_service_pb2_grpc import AdminServiceServicer, add_AdminServiceServicer_to_server
from marketplace_client import MarketplaceClient
from marketplace_client.channel import service_config
from marketplace_client.methods import METHODS, Repetition
from marketplace_client.services import SERVICES

ADMIN = "/marketplace.admin.v1.AdminService/"


def test_the_client_knows_exactly_the_methods_that_the_server_serves() -> None:
    # Health, reflection and channelz are gRPC's own, with clients of their own.
    served = {
        rule["method"]
        for rule in access_table().policy_document()["methods"]
        if not rule["method"].startswith("/grpc.")
    }
    assert set(METHODS) == served


def test_no_service_stands_there_twice() -> None:
    names = [service.descriptor.full_name for service in SERVICES]
    assert sorted(set(names)) == sorted(names)


async def test_an_open_client_has_the_stub_of_every_service_with_all_its_methods() -> None:
    client = MarketplaceClient("127.0.0.1:1")
    for service in SERVICES:
        with pytest.raises(RuntimeError, match="async with"):
            getattr(client, service.name)
    async with client:
        for service in SERVICES:
            stub = getattr(client, service.name)
            assert type(stub) is service.stub
            assert set(vars(stub)) == {method.name for method in service.descriptor.methods}


async def test_a_client_that_is_opened_again_calls_on_its_new_connection() -> None:
    client = MarketplaceClient("127.0.0.1:1")
    async with client:
        first = client.catalog
    async with client:
        assert client.catalog is not first


def test_reads_and_repeatables_alone_are_safe() -> None:
    order = "/marketplace.order.v1.OrderService/"
    assert METHODS[f"{order}PlaceOrder"].repetition is Repetition.KEYED
    assert METHODS[f"{order}GetOrder"].repetition is Repetition.SAFE
    assert METHODS[f"{order}AcceptOrder"].repetition is Repetition.KEYED
    assert METHODS["/marketplace.auth.v1.AuthService/IssueServiceToken"].repetition is Repetition.UNSAFE
    assert METHODS[f"{order}WatchOrder"].repetition is Repetition.UNSAFE
    safe = {facts.name for facts in METHODS.values() if facts.repetition is Repetition.SAFE}
    read = {name for name in safe if name.startswith(("Get", "List", "BatchGet", "Search", "Suggest"))}
    assert safe - read == {"RefreshTokens", "ReportLocations"}


def test_every_unary_call_has_a_deadline_and_only_streams_that_may_last_have_none() -> None:
    lasting = {facts.name for facts in METHODS.values() if facts.timeout_seconds is None}
    assert lasting == {
        "WatchCart",
        "WatchOrder",
        "WatchOrders",
        "WatchDeliveries",
        "WatchDelivery",
        "WatchStock",
        "StreamLocations",
    }


def test_lists_for_administrators_are_reads_like_any_other() -> None:
    lists = [
        facts for facts in METHODS.values() if facts.name in {"ListAuditEntries", "ListUsers", "ListServiceAccounts"}
    ]
    assert [(facts.repetition, facts.timeout_seconds) for facts in lists] == [(Repetition.SAFE, 10.0)] * 3
    assert all(f'"method": "{facts.name}"' in service_config() for facts in lists)


class Log(AdminServiceServicer):
    """An audit log that answers the second call, and notes how long each may take."""

    def __init__(self) -> None:
        self.left: list[float | None] = []

    async def ListAuditEntries(self, request: Any, context: Any) -> Any:  # noqa: N802 - the rpc's name
        self.left.append(context.time_remaining())
        if len(self.left) == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        return admin_service_pb2.ListAuditEntriesResponse(next_page_token="more")


async def test_the_audit_log_is_read_with_a_deadline_and_again_when_the_server_was_away() -> None:
    log, server = Log(), grpc.aio.server()
    add_AdminServiceServicer_to_server(log, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(10), MarketplaceClient(f"127.0.0.1:{port}") as client:
            answer = await client.admin.ListAuditEntries(admin_service_pb2.ListAuditEntriesRequest())
    finally:
        await server.stop(None)
    assert answer.next_page_token == "more"
    assert len(log.left) == 2
    # The core rounds a deadline up to a tenth of a second on its way.
    assert all(left is not None and 0 < left <= 10.1 for left in log.left)
