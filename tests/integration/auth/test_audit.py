"""The audit log on real Postgres: entries with their effect, the journal's batches, a database that is away, lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd.admin.servicer import AdminServicer
from marketd.audit import log
from marketd.audit.call import AuditedCall
from marketd.audit.journal import AuditJournal
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import ANONYMOUS, SYSTEM, Caller, Role
from marketd.kernel.call.refusals import ConcurrentUpdate, PageTokenInvalid, ValidationFailed
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.clock import ManualClock
from marketd.kernel.values.ids import new_id
from marketd.seller.values import Contact
from marketplace.admin.v1 import admin_service_pb2
from marketplace.errors.v1 import error_reason_pb2
from marketplace.type.v1 import audit_pb2

from tests.integration.wires import Wire
from tests.worlds.built import Built
from tests.worlds.parts import make_parts

if TYPE_CHECKING:
    from marketd.embedded import EmbeddedPostgres

CONTEXT = cast("Any", None)
ADMIN = Caller(new_id(), new_id(), frozenset({Role.ADMIN}), "192.0.2.9")
METHOD = "/marketplace.auth.v1.UserService/BlockUser"
OTHER_METHOD = "/marketplace.auth.v1.UserService/UnblockUser"


def _call(number: int = 0, **values: Any) -> AuditedCall:
    return AuditedCall(**{"method": METHOD, "caller": ADMIN, "correlation_id": f"c{number}", **values})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2030, 1, 1, tzinfo=UTC))


@pytest.fixture
async def journal(tx: Transactor, clock: ManualClock) -> AsyncIterator[AuditJournal]:
    """A journal that runs."""
    made = AuditJournal(tx, clock)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_one_address_cannot_fill_the_log_with_refusals(tx: Transactor, clock: ManualClock) -> None:
    journal = AuditJournal(tx, clock, refusals_burst=3)
    running = asyncio.create_task(journal.run())
    nobody = Caller(None, None, frozenset(), "2001:db8::1")
    neighbour, other = replace(nobody, address="2001:db8::2"), replace(nobody, address="2001:db8:1::1")
    for number, caller in enumerate([nobody, neighbour] * 5):
        await journal.note(_call(number, caller=caller, code="UNAUTHENTICATED"))
    await journal.note(_call(10, caller=other, code="UNAUTHENTICATED"))
    # What happened is never left out.
    await journal.note(_call(11, caller=nobody))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    found = [entry.correlation_id for entry in (await _list(tx)).audit_entries]
    assert sorted(found) == ["c0", "c1", "c10", "c11", "c2"]


async def test_entries_are_kept_as_long_as_the_setting_says(
    tx: Transactor, journal: AuditJournal, clock: ManualClock
) -> None:
    clock.advance(datetime.now(UTC) - clock.now() - timedelta(days=2))
    await journal.note(_call(1))
    clock.advance(timedelta(days=2))
    await journal.note(_call(2))

    def expire(keep: timedelta) -> Callable[[UnitOfWork], Awaitable[int]]:
        return partial(log.delete_before, keep=keep)

    assert await tx.run("test.sweep", expire(timedelta(days=3))) == 0
    assert await tx.run("test.sweep", expire(timedelta(days=1))) == 1
    (left,) = (await _list(tx)).audit_entries
    assert left.correlation_id == "c2"


async def _list(tx: Transactor, **request: Any) -> admin_service_pb2.ListAuditEntriesResponse:
    calls.enter(Call(caller=ADMIN))
    servicer = Built(make_parts(tx), "admin").servicer(AdminServicer)
    return await servicer.ListAuditEntries(admin_service_pb2.ListAuditEntriesRequest(**request), CONTEXT)


async def test_an_entry_stands_with_the_effect_or_not_at_all(tx: Transactor) -> None:
    call = Call(method=METHOD, correlation_id="c1", caller=ADMIN)
    calls.enter(call)
    subject = new_id()

    async def refused(uow: UnitOfWork) -> None:
        await log.record(uow, ADMIN, "user", subject, "because")
        raise ConcurrentUpdate

    with pytest.raises(ConcurrentUpdate):
        await tx.run("test.refused", refused)
    marks = [call.audited]
    await tx.run("test.done", lambda uow: log.record(uow, ADMIN, "user", subject, "because"))
    assert [*marks, call.audited] == [False, True]
    (entry,) = (await _list(tx)).audit_entries
    assert (entry.method, entry.resource_type, entry.resource_id, entry.comment) == (
        METHOD,
        "user",
        str(subject),
        "because",
    )
    assert (entry.code, entry.refusal_reason, entry.correlation_id, entry.remote_address) == (
        code_pb2.OK,
        error_reason_pb2.ERROR_REASON_UNSPECIFIED,
        "c1",
        "192.0.2.9",
    )
    assert entry.actor == audit_pb2.Actor(
        kind=audit_pb2.ACTOR_KIND_USER, actor_id=str(ADMIN.user_id), session_id=str(ADMIN.session_id)
    )


async def test_an_entry_has_what_changed_until_the_person_is_forgotten(tx: Transactor) -> None:
    calls.enter(Call(method=METHOD, correlation_id="c1", caller=ADMIN))
    subject, other = new_id(), new_id()
    before = Contact(name="Ann", phone="+391")
    after = replace(before, name='Bo \u2013 "Bo"', phone="")

    async def work(uow: UnitOfWork) -> None:
        for each in (subject, other):
            await log.record(uow, ADMIN, "user", each, before=before, after=after)
        await log.record(uow, ADMIN, "seller", subject, before=None, after=before)

    await tx.run("test.done", work)

    async def changes(**wanted: Any) -> list[list[audit_pb2.AuditChange]]:
        return [list(entry.changes) for entry in (await _list(tx, **wanted)).audit_entries]

    renamed = [
        audit_pb2.AuditChange(field="name", before="Ann", after='Bo \u2013 "Bo"'),
        audit_pb2.AuditChange(field="phone", before="+391"),
    ]
    assert await changes(resource_types=["user"]) == [renamed, renamed]
    await tx.run("test.forget", lambda uow: log.forget_values(uow, "user", [subject]))
    # The entries stay, and those about other things keep theirs.
    assert await changes(resource_types=["user"], resource_ids=[str(subject)]) == [[]]
    assert await changes(resource_types=["user"], resource_ids=[str(other)]) == [renamed]
    assert len(await changes(resource_types=["seller"])) == 1


async def test_the_journal_writes_what_it_is_given_once_and_in_order(tx: Transactor, journal: AuditJournal) -> None:
    written = [journal.note(_call(number, code="NOT_FOUND", reason="NOT_FOUND")) for number in range(900)]
    await asyncio.wait_for(asyncio.gather(*written), 10)
    rows = await tx.read(
        lambda unit: unit.connection.fetch("SELECT correlation_id, code FROM audit_entries ORDER BY audit_entry_id")
    )
    assert [tuple(row) for row in rows] == [(f"c{number}", "NOT_FOUND") for number in range(900)]


@pytest.mark.parametrize(
    ("caller", "kind"),
    [
        (SYSTEM, audit_pb2.ACTOR_KIND_SYSTEM),
        (ANONYMOUS, audit_pb2.ACTOR_KIND_ANONYMOUS),
        (Caller(new_id(), None, frozenset({Role.SERVICE})), audit_pb2.ACTOR_KIND_SERVICE),
        (ADMIN, audit_pb2.ACTOR_KIND_USER),
    ],
)
async def test_an_entry_says_what_kind_of_caller_it_was(
    tx: Transactor, journal: AuditJournal, caller: Caller, kind: int
) -> None:
    await journal.note(_call(caller=caller))
    assert [entry.actor.kind for entry in (await _list(tx)).audit_entries] == [kind]


async def test_beyond_its_bound_the_journal_drops_rather_than_grows(tx: Transactor, clock: ManualClock) -> None:
    journal = AuditJournal(tx, clock, capacity=10)
    noted = [journal.note(_call(number)) for number in range(25)]
    assert sum(entry.done() for entry in noted) == 15
    task = asyncio.create_task(journal.run())
    await asyncio.wait_for(asyncio.gather(*noted), 5)
    task.cancel()
    assert len((await _list(tx)).audit_entries) == 10


async def test_a_journal_that_is_stopped_writes_what_is_left(tx: Transactor, clock: ManualClock) -> None:
    journal = AuditJournal(tx, clock)
    task = asyncio.create_task(journal.run())
    await asyncio.wait_for(journal.note(_call()), 5)
    journal.note(_call(1))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len((await _list(tx)).audit_entries) == 2


async def test_entries_wait_for_a_database_that_is_away(
    postgres: EmbeddedPostgres, database_url: str, clock: ManualClock
) -> None:
    engine = create_engine(database_url, pool_size=1, pool_timeout_seconds=0.1)
    tx = Transactor(engine, clock)
    journal = AuditJournal(tx, clock)
    task = asyncio.create_task(journal.run())
    # The one connection is taken: to the journal the database is away.
    proxied = await engine.raw_connection()
    written = journal.note(_call())
    done, _ = await asyncio.wait((written,), timeout=0.4)
    assert not done
    proxied.close()
    await asyncio.wait_for(written, 5)
    assert len((await _list(tx)).audit_entries) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await engine.dispose()


@pytest.mark.parametrize("is_committed", [True, False], ids=["answer-lost", "commit-lost"])
async def test_entries_whose_commit_got_no_answer_stand_there_once(
    tx: Transactor, database_url: str, clock: ManualClock, is_committed: bool
) -> None:
    async with Wire(database_url) as wire:
        engine = create_engine(wire.url, pool_size=1)
        journal = AuditJournal(Transactor(engine, clock), clock)
        noted = [journal.note(_call(number)) for number in range(3)]
        if is_committed:
            wire.lose_answer_to(b"COMMIT")
        else:
            wire.lose(b"COMMIT")
        task = asyncio.create_task(journal.run())
        async with asyncio.timeout(10):
            while wire.is_losing:  # noqa: ASYNC110 - the wire tells nobody by itself
                await asyncio.sleep(0.01)
            # Goes with them when they are written again.
            await asyncio.gather(*noted, journal.note(_call(3)))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await engine.dispose()
    found = [entry.correlation_id for entry in (await _list(tx)).audit_entries]
    assert found == ["c3", "c2", "c1", "c0"]


async def test_admins_walk_the_log_from_its_end_and_filter_it(
    tx: Transactor, journal: AuditJournal, clock: ManualClock
) -> None:
    start = clock.now()
    subject, other = str(new_id()), Caller(new_id(), None, frozenset({Role.BUYER}))
    for number in range(7):
        await journal.note(_call(number, resource_type="user", resource_id=subject if number % 2 else str(new_id())))
        if number % 3 == 2:  # several entries of one instant
            clock.advance(timedelta(minutes=1))
    await journal.note(_call(7, caller=other, method=OTHER_METHOD, code="PERMISSION_DENIED", reason="ROLE_REQUIRED"))
    seen: list[str] = []
    token = ""
    while True:
        page = await _list(tx, page_size=3, page_token=token)
        seen += [entry.correlation_id for entry in page.audit_entries]
        if not page.next_page_token:
            break
        token = page.next_page_token
    assert seen == [f"c{number}" for number in reversed(range(8))]
    with pytest.raises(PageTokenInvalid):
        await _list(tx, page_size=3, page_token=token, methods=[METHOD])

    async def found(**wanted: Any) -> list[str]:
        return [entry.correlation_id for entry in (await _list(tx, **wanted)).audit_entries]

    assert await found(actor_ids=[str(other.user_id), str(new_id())]) == ["c7"]
    assert await found(methods=[OTHER_METHOD]) == await found(codes=[code_pb2.PERMISSION_DENIED]) == ["c7"]
    assert await found(refusal_reasons=[error_reason_pb2.ERROR_REASON_ROLE_REQUIRED]) == ["c7"]
    assert await found(codes=[code_pb2.OK], order_by="create_time") == [f"c{number}" for number in range(7)]
    assert len(await found(methods=[METHOD, OTHER_METHOD])) == 8
    assert await found(resource_types=["user"], resource_ids=[subject]) == ["c5", "c3", "c1"]
    within = admin_service_pb2.ListAuditEntriesRequest()
    within.create_time_from.FromDatetime(start + timedelta(minutes=1))
    within.create_time_before.FromDatetime(start + timedelta(minutes=2))
    assert await found(create_time_from=within.create_time_from, create_time_before=within.create_time_before) == [
        "c5",
        "c4",
        "c3",
    ]


async def test_a_filter_that_nothing_can_meet_is_refused_by_its_field(tx: Transactor) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "methods[1]": {"methods": [METHOD, "/marketplace.auth.v1.UserService/Nothing"]},
        "resource_types[0]": {"resource_types": ["users"]},
        "order_by": {"order_by": "method"},
        "create_time_before": {
            "create_time_from": Timestamp(seconds=100),
            "create_time_before": Timestamp(seconds=99),
        },
    }
    for field, request in wrong.items():
        with pytest.raises(ValidationFailed) as refused:
            await _list(tx, **request)
        assert [each.field for each in refused.value.fields] == [field]
    # What is done outside of calls is in the log as well.
    await _list(tx, methods=["marketd keys rotate"], resource_types=["signing_key"])
