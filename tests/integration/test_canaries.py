"""Secrets are found in tables, whatever type of column they lie in, and in what PostgreSQL logs."""

from __future__ import annotations

import base64
from uuid import uuid4

import asyncpg
from marketd.embedded import EmbeddedPostgres

from tests.canaries import MARK, PLANTED, WATCH
from tests.canary_looks import Tail, look_at_tables


async def test_secrets_in_documents_bytes_and_texts_of_any_table_are_found(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    token = f"{'Ab3' * 28}-_"
    await connection.execute(
        "INSERT INTO jobs (job_id, kind, payload, run_time, max_attempts, create_time)"
        " VALUES ($1, 'mail.send', jsonb_build_object('values', ARRAY[$2::text]), now(), 1, now())",
        uuid4(),
        token[:43],
    )
    await connection.execute(
        "INSERT INTO idempotency_keys (caller_key, method, request_id, fingerprint, answer, create_time, expire_time)"
        " VALUES ($1, '/x', $2, $3, $4, now(), now())",
        f"tried {MARK}",
        uuid4(),
        bytes(32),
        b"\x0a\x56" + token.encode() + b"\x12\x00",
    )
    await connection.close()
    with WATCH.planted() as hits:
        await look_at_tables(database_url)
    assert sorted((hit.where, hit.kind) for hit in hits) == [
        ("table idempotency_keys", "opaque token"),
        ("table idempotency_keys", "password or setting"),
        ("table jobs", "opaque token"),
    ]


async def test_what_is_hashed_and_sealed_in_tables_is_no_secret(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO jobs (job_id, kind, payload, run_time, max_attempts, create_time)"
        " VALUES ($1, 'mail.send', jsonb_build_object('code', $2::text), now(), 1, now())",
        uuid4(),
        f"sealed:{base64.b64encode(b'sealed with a key that is not in the table').decode()}",
    )
    await connection.close()
    await look_at_tables(database_url)
    assert WATCH.drain() == []


async def test_secrets_in_the_log_of_postgresql_are_found(postgres: EmbeddedPostgres, database_url: str) -> None:
    tail = Tail(postgres.home.log, "the log", but_for="no line")
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"DO $$ BEGIN RAISE LOG '{PLANTED}: a passphrase {MARK}'; END $$")
    await connection.close()
    with WATCH.planted() as hits:
        tail.look()
    assert {(hit.where, hit.kind) for hit in hits} == {("the log", "password or setting")}
