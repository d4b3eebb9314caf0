"""`marketd check`: an untouched database holds, and each planted violation is found under its number."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest
from marketd import app
from marketd.cli import application
from marketd.kernel.db import invariants
from marketd.kernel.db.database import Connection
from marketd.kernel.values.ids import new_id
from typer.testing import CliRunner, Result

from tests.faults.books import assert_sound

_OUTBOX = (
    "INSERT INTO outbox_events (event_id, aggregate, aggregate_id, seq, event_type, version, payload, occurred_time,"
    " publish_time) VALUES (gen_random_uuid(), 'thing', $1, $2, 'thing.happened', 1, '{}',"
    " now() - $3::int * interval '1 s', $4)"
)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """A plain connection to the test's own database."""
    opened: Connection = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


async def violated(connection: Connection) -> dict[str, tuple[str, ...]]:
    """What a check finds, by the invariant's number."""
    return {
        finding.number: finding.violations
        for finding in await invariants.check(connection, app.INVARIANTS)
        if not finding.is_ok
    }


def rules(number: str) -> list[invariants.Invariant]:
    """The rules of one invariant."""
    return [each for each in app.INVARIANTS if each.number == number]


async def run_check(database_url: str, *arguments: str) -> Result:
    """Run `marketd check`, on a thread: it has a loop of its own."""
    given = ["check", *arguments]
    runner = CliRunner(env={"MARKETD_DATABASE_URL": database_url})
    return await asyncio.to_thread(lambda: runner.invoke(application(given), given))


async def test_stock_that_does_not_add_up_violates_i1(connection: Connection) -> None:
    assert await violated(connection) == {}
    variant = new_id()
    await connection.execute(
        "INSERT INTO stocks (variant_id, seller_id, on_hand, create_time, update_time)"
        " VALUES ($1, $1, 5, now(), now())",
        variant,
    )
    found = await violated(connection)
    assert list(found) == ["I1"]
    assert str(variant) in found["I1"][0]


async def test_money_without_a_charge_violates_i4(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO payments (payment_id, order_group_id, buyer_id, payment_provider, state, amount_minor, currency,"
        " captured_amount_minor, create_time, update_time, capture_time, expire_time)"
        " VALUES ($1, $1, $1, 'sandbox', 'CAPTURED', 500, 'EUR', 500, now(), now(), now(), now())",
        new_id(),
    )
    assert list(await violated(connection)) == ["I4"]


async def test_stuck_lost_and_swapped_events_violate_i5(connection: Connection) -> None:
    stuck, gap, swapped, uncounted, overcounted, forgotten, late = (new_id() for _ in range(7))
    now = await connection.fetchval("SELECT now()")
    for aggregate, seq, age, published in (
        (stuck, 1, 60, None),
        (gap, 1, 1, now),
        (gap, 3, 1, now),
        (swapped, 1, 1, None),
        (swapped, 2, 1, now),
        (uncounted, 1, 1, now),
        (overcounted, 1, 1, now),
        (overcounted, 2, 1, now),
        (forgotten, 1, 1, now),
        (late, 2, 1, now),
        (late, 1, 1, now),  # so its position is behind that of its follower
    ):
        await connection.execute(_OUTBOX, aggregate, seq, age, published)
    for aggregate, last in ((stuck, 1), (gap, 3), (swapped, 2), (uncounted, 7), (overcounted, 1), (late, 2)):
        await connection.execute("INSERT INTO aggregate_sequences VALUES ($1, $2)", aggregate, last)
    found = await violated(connection)
    assert list(found) == ["I5"]
    sentences = "\n".join(found["I5"])
    assert "waits since" in sentences
    assert f"{gap} has event 3 after 1" in sentences
    assert f"{swapped} has event 1 waiting" in sentences
    assert f"{uncounted} has event 1 as its newest, counted 7" in sentences
    assert f"{overcounted} has event 2 as its newest, counted 1" in sentences
    assert f"{forgotten} has event 1 as its newest, counted none" in sentences
    assert f"{late} has event 2 after 1" in sentences
    assert len(found["I5"]) == 7
    # So many of a rule are told, however many there are.
    for _ in range(30):
        await connection.execute(_OUTBOX, new_id(), 1, 1, now)
    assert len(await invariants.violations(connection, rules("I5"))) == 4 + invariants.MOST_VIOLATIONS


async def test_two_answers_to_a_request_violate_i3_though_the_index_says_that_there_is_one(
    connection: Connection,
) -> None:
    await connection.execute("ALTER TABLE idempotency_keys DROP CONSTRAINT pk_idempotency_keys")
    insert = "INSERT INTO idempotency_keys VALUES ($1, 'm', $2, '', '', now(), now())"
    request_id = new_id()
    for caller in ("me", "you"):
        await connection.execute(insert, caller, request_id)
    assert await invariants.violations(connection, rules("I3")) == []
    await connection.execute(insert, "me", request_id)
    assert await invariants.violations(connection, rules("I3")) == [
        f"a request id has one answer: request {request_id} of me to m has 2 answers"
    ]


async def test_a_session_of_ours_that_idles_in_a_transaction_violates_i6(
    connection: Connection, database_url: str
) -> None:
    """As the rule has it but for the five seconds, which nobody waits for here."""
    (rule,) = rules("I6")
    at_once = replace(rule, statement=rule.statement.replace("interval '5 seconds'", "interval '0'"))
    assert at_once != rule
    idle, failed, elsewhere = [
        await asyncpg.connect(database_url, server_settings={"application_name": name})
        for name in ("marketd", "marketd", "psql")
    ]
    try:
        for session in (idle, elsewhere):
            await session.execute("BEGIN")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await failed.execute("BEGIN; SELECT 1 / 0")
        found = await invariants.violations(connection, [at_once])
        assert sorted(sentence.partition(" since ")[0].rpartition(": ")[2] for sentence in found) == sorted(
            f"backend {session.get_server_pid()} is idle in transaction{how}"
            for session, how in ((idle, ""), (failed, " (aborted)"))
        )
        assert await invariants.violations(connection, [rule]) == []
    finally:
        for session in (idle, failed, elsewhere):
            await session.close()


async def test_what_was_given_up_violates_i5(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO dead_letters (dead_letter_id, kind, source_id, payload, error, create_time)"
        " VALUES ($1, 'delivery.create:order.ready', $1, '{}', 'ValueError', now())",
        new_id(),
    )
    assert list(await violated(connection)) == ["I5"]


async def test_an_acknowledged_position_that_is_not_stored_violates_i11(connection: Connection) -> None:
    courier, uplink = new_id(), new_id()
    await connection.execute(
        "INSERT INTO position_uplinks (courier_id, uplink_id, device_id, create_time, last_time)"
        " VALUES ($1, $2, '', now(), now())",
        courier,
        uplink,
    )
    await connection.execute(
        "INSERT INTO position_ledger (courier_id, uplink_id, seq) VALUES ($1, $2, 7)", courier, uplink
    )
    found = await violated(connection)
    assert list(found) == ["I11"]
    assert "position 7" in found["I11"][0]


async def test_the_command_says_it_in_json_and_in_words_and_by_its_exit_code(
    connection: Connection, database_url: str
) -> None:
    sound = await run_check(database_url, "--json")
    assert sound.exit_code == 0, sound.stderr
    document = json.loads(sound.stdout)
    assert document["ok"] is True
    assert {"I1", "I3", "I4", "I5", "I6", "I11"} <= {each["id"] for each in document["invariants"]}
    assert all(each["ok"] and each["violations"] == [] for each in document["invariants"])

    aggregate = new_id()
    await connection.execute(_OUTBOX, aggregate, 1, 60, None)
    await connection.execute("INSERT INTO aggregate_sequences VALUES ($1, 1)", aggregate)
    broken = await run_check(database_url)
    assert broken.exit_code == 1
    assert "waits since" in broken.stdout

    away = await run_check("postgresql://nobody@127.0.0.1:1/nothing")
    assert away.exit_code == 2
    assert "does not answer" in away.stderr


async def test_what_is_broken_fails_one_test_of_those_that_share_a_database(
    connection: Connection, database_url: str
) -> None:
    async def break_stock(variant: UUID, pieces: int) -> None:
        await connection.execute(
            "INSERT INTO stocks (variant_id, seller_id, on_hand, create_time, update_time)"
            " VALUES ($1, $1, $2, now(), now()) ON CONFLICT (variant_id) DO UPDATE SET on_hand = $2",
            variant,
            pieces,
        )

    first, second = new_id(), new_id()
    await assert_sound(database_url)
    await break_stock(first, 5)
    with pytest.raises(AssertionError, match=str(first)):
        await assert_sound(database_url)
    await break_stock(first, 6)
    await assert_sound(database_url)
    await break_stock(second, 5)
    with pytest.raises(AssertionError, match=str(second)) as failed:
        await assert_sound(database_url)
    assert str(first) not in str(failed.value)
