"""The migrations make exactly what the models map, from one head, and can be run again."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import marketd
import pytest
import structlog
from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from marketd import app as composition
from marketd.cli import application
from marketd.config import Environment, Settings
from marketd.kernel.values.ids import new_id
from marketd.process.core import StartRefused
from marketd.schema import migrate
from marketd.schema import revision as schema
from marketd.schema.check import DatabaseUnfit, look_at
from pydantic import SecretStr
from typer.testing import CliRunner


def test_the_migrated_schema_is_what_the_models_map(database_url: str) -> None:
    command.check(migrate.config(database_url))


def test_there_is_one_head_and_it_is_known_without_alembic() -> None:
    scripts = ScriptDirectory.from_config(migrate.config("postgresql://"))
    assert scripts.get_heads() == [schema.head()]
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True), "revisions compare as they follow on each other"


async def _stamp(url: str, revision: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE alembic_version SET version_num = $1", revision)
    await connection.close()


def _settings(url: str) -> Settings:
    return Settings(env=Environment.TEST, database_url=SecretStr(url), port=0, bcrypt_cost=4, run_worker=False)


async def test_a_server_starts_on_a_newer_schema_and_says_so(database_url: str) -> None:
    await _stamp(database_url, "9999")
    with structlog.testing.capture_logs() as said:
        app = await composition.build(_settings(database_url))
        await app.start()
    await app.stop(0)
    assert [line for line in said if line["event"] == "schema_is_newer"] == [
        {"event": "schema_is_newer", "log_level": "warning", "schema": "9999", "needed": schema.head()}
    ]


async def test_a_server_refuses_an_older_schema_with_what_to_do(database_url: str) -> None:
    await _stamp(database_url, "0001")
    with pytest.raises(StartRefused, match=f"at 0001 and this version needs {schema.head()}; run `marketd migrate`"):
        await composition.build(_settings(database_url))


@pytest.mark.parametrize("revision", ["ae1027a6acf0", "00151", "abcd", "0001x"])
async def test_a_server_refuses_the_database_of_another_application(database_url: str, revision: str) -> None:
    await _stamp(database_url, revision)
    with pytest.raises(StartRefused, match=f"at {revision}, which is no revision of marketd's; check MARKETD_DATABASE"):
        await composition.build(_settings(database_url))


def test_a_migration_that_a_later_version_overtakes_leaves_it_at_that(database_url: str) -> None:
    asyncio.run(_stamp(database_url, "9999"))
    assert migrate.upgrade(database_url).is_ahead
    asyncio.run(_stamp(database_url, "ae1027a6acf0"))
    with pytest.raises(CommandError):
        migrate.upgrade(database_url)


@pytest.mark.parametrize(
    ("revision", "options", "code", "words"),
    [
        ("9999", [], 0, "a later version"),
        ("9999", ["--quiet"], 0, ""),
        ("9999", ["--check"], 0, "database: 9999, this version: "),
        ("0001", ["--check"], 1, "database: 0001, this version: "),
        (
            "ae1027a6acf0",
            ["--check"],
            2,
            "at ae1027a6acf0, which is no revision of marketd's; check MARKETD_DATABASE_URL",
        ),
        ("ae1027a6acf0", [], 2, "at ae1027a6acf0, which is no revision of marketd's; check MARKETD_DATABASE_URL"),
    ],
)
def test_the_command_leaves_other_schemas_alone_and_says_where_they_stand(
    database_url: str, revision: str, options: list[str], code: int, words: str
) -> None:
    asyncio.run(_stamp(database_url, revision))
    arguments = ["migrate", *options]
    ran = CliRunner(env={"MARKETD_DATABASE_URL": database_url}).invoke(application(arguments), arguments)
    assert ran.exit_code == code
    spoken, silent = (ran.stdout, ran.stderr) if code < 2 else (ran.stderr, ran.stdout)
    assert silent == ""
    assert words in spoken if words else spoken == ""
    assert migrate.state(database_url).current == revision


def test_upgrading_a_current_database_changes_nothing(database_url: str) -> None:
    assert migrate.state(database_url).is_current
    migrate.upgrade(database_url)
    assert migrate.state(database_url).is_current


def test_an_installed_package_migrates_once_and_does_not_take_its_migrations_for_models(
    database_url: str, tmp_path: Path
) -> None:
    """The wheel has the migrations inside the package, where the models are looked for."""
    shutil.copytree(Path(marketd.__path__[0]), tmp_path / "marketd")
    shutil.copytree(schema.scripts(), tmp_path / "marketd" / "_migrations")
    program = (
        "import sys; from alembic import command; from marketd.schema import migrate;"
        " command.downgrade(migrate.config(sys.argv[1]), '-1');"
        " print(migrate.state(sys.argv[1]).current, [name for name in sys.modules if '_migrations' in name])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", program, database_url], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout == f"{int(schema.head()) - 1:04} []\n"
    migrate.upgrade(database_url)


# Versions that meet while one is rolled out must wait for each other, so they all take this one.
LOCK = 7_201_977_201


async def test_of_two_that_migrate_at_once_one_waits_for_the_other(database_url: str) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = $1"
    first = await asyncpg.connect(database_url)
    try:
        database = await first.fetchval("SELECT oid FROM pg_database WHERE datname = current_database()")
        await first.execute(f"SELECT pg_advisory_lock({LOCK})")
        second = asyncio.create_task(asyncio.to_thread(migrate.upgrade, database_url))
        async with asyncio.timeout(60):
            while not await first.fetchval(waiting, database):
                assert not second.done()
                await asyncio.sleep(0.01)
        await first.execute(f"SELECT pg_advisory_unlock({LOCK})")
        assert (await second).is_current
    finally:
        await first.close()


async def test_a_server_that_takes_a_connection_and_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("marketd.schema.check.ANSWER_SECONDS", 0.1)
    met: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(lambda _, writer: met.append(writer), "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(DatabaseUnfit, match="the database does not answer"):
            async with asyncio.timeout(20):
                await look_at(f"postgresql://nobody@127.0.0.1:{port}/nothing")
        assert met
        for writer in met:
            writer.transport.abort()


async def _written(url: str, statement: str, *arguments: object) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        await connection.close()


RENAMED: tuple[tuple[str, dict[str, object], dict[str, object]], ...] = (
    (
        "order",
        {"account_id": "b", "seller_account_id": "s", "after": {"paid_time": "t", "note": '"paid_time":'}},
        {"buyer_id": "b", "owner_user_id": "s", "after": {"pay_time": "t", "note": '"paid_time":'}},
    ),
    (
        "order",
        {"prep_minutes": 20, "after": {"refunded_minor": 5, "prep_minutes": 20, "total_minor": 7}},
        {"prep_duration": 1200, "after": {"refunded_amount_minor": 5, "prep_duration": 1200, "total_minor": 7}},
    ),
    (
        "delivery",
        {"buyer_account_id": "b", "courier_account_id": "c"},
        {"buyer_id": "b", "courier_user_id": "c"},
    ),
    ("seller", {"account_id": "s"}, {"owner_user_id": "s"}),
    ("courier", {"account_id": "c"}, {"user_id": "c"}),
)


def test_events_of_before_have_the_new_names_and_get_the_old_ones_back(database_url: str) -> None:
    """One migration for all of them: each way takes a second."""
    before = [old for _, old, _ in RENAMED]
    after = [new for _, _, new in RENAMED]
    ours = "FROM outbox_events WHERE event_type LIKE 'test.renamed%'"
    found = f"SELECT json_agg(payload ORDER BY event_type)::text {ours}"

    def payloads() -> object:
        return json.loads(str(asyncio.run(_written(database_url, found))))

    command.downgrade(migrate.config(database_url), "0015")
    insert = (
        "INSERT INTO outbox_events (event_id, aggregate, aggregate_id, seq, event_type, version, payload,"
        " occurred_time) VALUES (gen_random_uuid(), $1, gen_random_uuid(), 1, $2, 1, $3::jsonb, now())"
    )
    for number, (aggregate, old, _) in enumerate(RENAMED):
        asyncio.run(_written(database_url, insert, aggregate, f"test.renamed.{number}", json.dumps(old)))
    migrate.upgrade(database_url)
    assert payloads() == after
    command.downgrade(migrate.config(database_url), "0015")
    assert payloads() == before
    asyncio.run(_written(database_url, f"DELETE {ours}"))
    migrate.upgrade(database_url)


def test_stocks_that_owe_pieces_count_them_when_the_policies_are_taken_back(database_url: str) -> None:
    insert = (
        "WITH one AS (INSERT INTO stocks"
        " (variant_id, seller_id, policy, on_hand, reserved, oversold, create_time, update_time)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), 'CONTINUE', 2, 5, 3, now(), now()) RETURNING *)"
        " INSERT INTO stock_movements (movement_id, variant_id, seller_id, kind, delta, on_hand, actor, create_time)"
        " SELECT gen_random_uuid(), variant_id, seller_id, 'ADJUSTED', 2, 2, 'SELLER', now() FROM one"
    )
    counts = (
        "SELECT concat_ws(' ', s.on_hand, s.reserved, sum(m.delta), string_agg(m.kind, ' ' ORDER BY m.delta))"
        " FROM stocks s JOIN stock_movements m USING (variant_id) GROUP BY s.variant_id"
    )
    asyncio.run(_written(database_url, insert))
    command.downgrade(migrate.config(database_url), "0032")
    assert asyncio.run(_written(database_url, counts)) == "5 5 5 COUNTED COUNTED"
    migrate.upgrade(database_url)
    assert asyncio.run(_written(database_url, counts)) == "5 5 5 COUNTED COUNTED"
    kept = (
        "SELECT s.policy || ' ' || (m.seller_id = s.seller_id) FROM stocks s JOIN stock_movements m USING (variant_id)"
    )
    assert asyncio.run(_written(database_url, kept)) == "TRACKED true"


def test_what_a_migration_cannot_make_is_said_with_a_way_out_before_anything_is_changed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"plain_{new_id().hex}"
    parts = urlsplit(database_url)
    plain = parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}").geturl()
    asyncio.run(_written(database_url, f"CREATE ROLE {role} LOGIN"))
    try:
        asyncio.run(_written(database_url, f"GRANT SELECT ON alembic_version TO {role}"))
        migrate.upgrade(plain)
        asyncio.run(_stamp(database_url, "0037"))
        asyncio.run(_written(database_url, "DROP EXTENSION pg_trgm CASCADE"))
        with pytest.raises(DatabaseUnfit, match=f"owner run `GRANT CREATE ON DATABASE .* TO {role}`"):
            migrate.upgrade(plain)
        asyncio.run(_written(database_url, "CREATE SCHEMA elsewhere"))
        asyncio.run(_written(database_url, "CREATE EXTENSION pg_trgm SCHEMA elsewhere"))
        with pytest.raises(DatabaseUnfit, match="pg_trgm is in the schema elsewhere"):
            migrate.upgrade(plain)
        monkeypatch.setattr("marketd.schema.check.EXTENSIONS", ("unaccent", "unheard_of"))
        with pytest.raises(DatabaseUnfit, match="server has no unheard_of: install"):
            migrate.upgrade(plain)
    finally:
        asyncio.run(_written(database_url, f"REVOKE ALL ON alembic_version FROM {role}"))
        asyncio.run(_written(database_url, f"DROP ROLE {role}"))


def test_every_migration_can_be_taken_back_and_made_again(database_url: str) -> None:
    async def tables() -> set[str]:
        connection = await asyncpg.connect(database_url)
        try:
            rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        finally:
            await connection.close()
        return {row["tablename"] for row in rows}

    before = asyncio.run(tables())
    command.downgrade(migrate.config(database_url), "base")
    assert asyncio.run(tables()) <= {"alembic_version"}
    migrate.upgrade(database_url)
    assert asyncio.run(tables()) == before
