"""Alembic's environment: runs the migrations over asyncpg under an advisory lock, one at a time on the cluster."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path

import marketd
from alembic import context
from marketd.kernel.db.database import DIALECT, Base, connector
from sqlalchemy import pool, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

# Any fixed number; it keeps two servers from migrating at once.
LOCK = 7_201_977_201


def load_models() -> None:
    """Import every module that maps tables, so that Base.metadata is whole."""
    root = Path(marketd.__path__[0])
    for path in sorted(root.rglob("*.py")):
        # In the wheel the migrations lie in there too, and this file says the words itself.
        if "_migrations" not in path.parts and "(Base):" in path.read_text(encoding="utf-8"):
            importlib.import_module(".".join(("marketd", *path.relative_to(root).with_suffix("").parts)))


def run(connection: Connection) -> None:
    """Run on an open connection, each migration in a transaction of its own."""
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    connection.commit()
    try:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            transaction_per_migration=True,
            compare_type=True,
            compare_server_default=True,
            include_object=context.config.attributes.get("include_object"),
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()


async def connect_and_run(url: str) -> None:
    """Open one connection without a pool and run."""
    engine = create_async_engine(DIALECT, async_creator=connector(url, timeout=5), poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


load_models()
asyncio.run(connect_and_run(context.config.attributes["database_url"]))
