"""Every call of an audited method leaves who, what, when, from where and how it ended, on the real app."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.rpc import code_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd import app as composition
from marketd.config import Settings
from marketd.process.process import App
from marketplace.admin.v1 import admin_service_pb2
from marketplace.auth.v1 import user_service_pb2
from marketplace.errors.v1 import error_reason_pb2
from marketplace.seller.v1 import seller_pb2, seller_service_pb2
from marketplace.type.v1 import audit_pb2
from marketplace.type.v1.address_pb2 import Address
from marketplace_client import MarketplaceClient, MarketplaceError
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.canaries import MARK
from tests.worlds.agreed import agreed

PASSWORD = f"a passphrase for the log {MARK}"
AUDITED = {path: line for path, line in agreed().items() if line.is_audited}


@pytest.fixture
async def boss(app: App, admin: tuple[str, str]) -> Any:
    """The administrator, signed in."""
    async with MarketplaceClient(f"127.0.0.1:{app.port}") as client:
        await client.login(*admin)
        yield client


async def _entries(boss: MarketplaceClient, **wanted: Any) -> list[audit_pb2.AuditEntry]:
    request = admin_service_pb2.ListAuditEntriesRequest(page_size=100, **wanted)
    return list((await boss.admin.ListAuditEntries(request)).audit_entries)


def _name(entry: audit_pb2.AuditEntry) -> str:
    name: str = code_pb2.Code.Name(entry.code)
    return name


def _reason(entry: audit_pb2.AuditEntry) -> str:
    """As the refusal said it; empty when there was none."""
    name = error_reason_pb2.ErrorReason.Name(entry.refusal_reason).removeprefix("ERROR_REASON_")
    return "" if name == "UNSPECIFIED" else name


async def _refused(call: Awaitable[object], reason: str) -> None:
    with pytest.raises(MarketplaceError) as caught:
        await call
    assert caught.value.reason == reason


def test_the_rules_that_change_who_may_do_what_are_audited() -> None:
    service = "/marketplace.auth.v1.UserService/"
    assert {name.removeprefix(service) for name in AUDITED if name.startswith(service)} == {
        "UpdateUser",
        "DeleteUser",
        "SetUserRoles",
        "BlockUser",
        "UnblockUser",
    }


async def test_a_refused_call_of_any_audited_method_leaves_an_entry(
    channel: grpc.aio.Channel, boss: MarketplaceClient
) -> None:
    """Empty calls: nobody's, or without what the request must have."""
    assert len(AUDITED) > 30
    wrong = {}
    for method, line in AUDITED.items():
        correlation_id = f"audit-{uuid4()}"
        call: Any = channel.unary_unary(method)
        code, reason = await _ended(call(b"", metadata=[("x-request-id", correlation_id)], timeout=10))
        if line.who != "PUBLIC":
            assert (code, reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED"), method
        found = [entry for entry in await _entries(boss, methods=[method]) if entry.correlation_id == correlation_id]
        facts = [(_name(e), _reason(e), e.remote_address, e.actor.kind, e.HasField("create_time")) for e in found]
        if facts != [(code, reason, "127.0.0.1", audit_pb2.ACTOR_KIND_ANONYMOUS, True)]:
            wrong[method] = facts
    assert wrong == {}


async def _ended(call: Any) -> tuple[str, str]:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        raw = bytes(dict(error.trailing_metadata())["grpc-status-details-bin"])
        reasons = [
            name for name in ("UNAUTHENTICATED", "VALIDATION_FAILED") if f"\n{chr(len(name))}{name}".encode() in raw
        ]
        return error.code().name, reasons[-1]
    return "OK", ""


async def test_who_lacks_the_role_and_who_comes_too_late_stand_beside_who_did_it(
    app: App, boss: MarketplaceClient
) -> None:
    async with MarketplaceClient(f"127.0.0.1:{app.port}") as jo:
        me = await jo.register("jo@example.com", PASSWORD, full_name="Jo")
        block = user_service_pb2.BlockUserRequest(user_id=me.user_id, reason="for fun")
        await _refused(jo.user.BlockUser(block), "ROLE_REQUIRED")
        await boss.user.BlockUser(block)
        missing = user_service_pb2.BlockUserRequest(user_id=str(uuid4()), reason="for fun")
        await _refused(boss.user.BlockUser(missing), "NOT_FOUND")
        await _refused(boss.user.BlockUser(user_service_pb2.BlockUserRequest(user_id=me.user_id)), "VALIDATION_FAILED")
        unnamed, absent, done, denied = await _entries(boss, methods=["/marketplace.auth.v1.UserService/BlockUser"])
    said = [
        (_name(entry), _reason(entry), entry.resource_id, entry.comment) for entry in (denied, done, absent, unnamed)
    ]
    assert said == [
        # The request of somebody without the role is not even read.
        ("PERMISSION_DENIED", "ROLE_REQUIRED", "", ""),
        ("OK", "", me.user_id, "for fun"),
        ("NOT_FOUND", "NOT_FOUND", missing.user_id, "for fun"),
        ("INVALID_ARGUMENT", "VALIDATION_FAILED", "", ""),
    ]
    assert denied.actor.actor_id == me.user_id
    assert {entry.actor.actor_id for entry in (done, absent, unnamed)} == {done.actor.actor_id} != {me.user_id}
    assert done.resource_type == "user"


async def test_a_repeat_that_did_nothing_is_a_call_all_the_same(app: App, boss: MarketplaceClient) -> None:
    async with MarketplaceClient(f"127.0.0.1:{app.port}") as jo:
        await jo.register("jo@example.com", PASSWORD)
        request = seller_service_pb2.CreateSellerRequest(
            request_id=str(uuid4()),
            seller=seller_pb2.Seller(shop_name="Jo's", pickup_address=Address(lines=["Markt 1"], city="Berlin")),
        )
        first = await jo.seller.CreateSeller(request)
        assert await jo.seller.CreateSeller(request) == first
    entries = await _entries(boss, methods=["/marketplace.seller.v1.SellerService/CreateSeller"])
    assert [_name(entry) for entry in entries] == ["OK", "OK"]
    # The effect is told of once, with what it made.
    assert [entry.resource_id for entry in entries] == ["", first.seller.seller_id]


async def test_a_failed_sign_in_names_the_account_that_was_tried_and_nothing_that_was_typed(
    app: App, boss: MarketplaceClient
) -> None:
    async with MarketplaceClient(f"127.0.0.1:{app.port}") as jo:
        me = await jo.register("jo@example.com", PASSWORD)
        await _refused(jo.login("jo@example.com", "a guess of the password"), "INVALID_CREDENTIALS")
        await _refused(jo.login("a guess of the password", PASSWORD), "INVALID_CREDENTIALS")
    entries = await _entries(boss, methods=["/marketplace.auth.v1.AuthService/Login"], codes=[code_pb2.UNAUTHENTICATED])
    assert [(entry.resource_type, entry.resource_id) for entry in entries] == [("", ""), ("user", me.user_id)]
    text = "".join(str(entry) for entry in await _entries(boss))
    assert "guess" not in text
    assert PASSWORD not in text


async def test_one_address_fills_the_log_with_no_more_refusals_than_the_setting_says(settings: Settings) -> None:
    app = await composition.build(settings.model_copy(update={"audit_refusals": 3, "run_worker": False}))
    await app.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{app.port}") as channel:
        call: Any = channel.unary_unary("/marketplace.auth.v1.UserService/BlockUser")
        for _ in range(40):
            assert (await _ended(call(b"", timeout=10)))[1] == "UNAUTHENTICATED"
    async with app.core.engine.connect() as connection:
        found = (await connection.exec_driver_sql("SELECT count(*) FROM audit_entries")).scalar_one()
    await app.stop(0)
    # Three at once, and one in each second that the calls took.
    assert 3 <= found < 20


async def test_a_caller_that_went_away_is_in_the_log(app: App, boss: MarketplaceClient) -> None:
    async with MarketplaceClient(f"127.0.0.1:{app.port}") as jo:
        me = await jo.register("jo@example.com", PASSWORD)
    database = app.core.engine
    async with database.connect() as connection:
        # Whoever blocks the account waits for its row, and loses patience.
        await connection.exec_driver_sql("SELECT 1 FROM accounts FOR UPDATE")
        call = boss.user.BlockUser(
            user_service_pb2.BlockUserRequest(user_id=me.user_id, reason="x"), metadata=[("x-request-id", "impatient")]
        )
        waiting = asyncio.ensure_future(call)
        assert app.server is not None
        async with database.connect() as looking:
            # PostgreSQL shows a transaction one and the same state of its backends.
            await looking.execution_options(isolation_level="AUTOCOMMIT")
            # Until somebody waits, it may have begun nothing that goes on without it.
            assert await _until(lambda: _somebody_waits(looking))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await app.server.calls.idle(10)
        await connection.rollback()
    await app.parts.tx.drain()
    found: list[audit_pb2.AuditEntry] = []
    for _ in range(100):
        found = await _entries(boss, methods=["/marketplace.auth.v1.UserService/BlockUser"])
        if len(found) == 2:
            break
    # The client is gone, the work was done: both stand there, and whoever reads the log knows.
    assert {_name(entry) for entry in found} == {"CANCELLED", "OK"}


async def _somebody_waits(connection: AsyncConnection) -> bool:
    """Whether a transaction of this database waits for a row."""
    found = await connection.exec_driver_sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND wait_event IN ('tuple', 'transactionid') AND query LIKE '%accounts%'"
    )
    return bool(found.scalar_one())


async def _until(holds: Callable[[], Awaitable[bool]]) -> bool:
    for _ in range(500):
        if await holds():
            return True
        await asyncio.sleep(0.01)
    return False
