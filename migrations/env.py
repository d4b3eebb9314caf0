"""Alembic's environment: runs the migrations over asyncpg under an advisory lock, one at a time on the cluster."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil

import marketd
from alembic import context
from marketd.kernel.database import DIALECT, Base, connector
from sqlalchemy import pool, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

# Any fixed number; it keeps two servers from migrating at once.
LOCK = 7_201_977_201

KERNEL_MODELS = ("outbox", "jobs", "leases", "idempotency", "buckets")


def load_models() -> None:
    """Import every module that maps tables, so that Base.metadata is whole: the kernel's, each slice's *model."""
    for package in pkgutil.iter_modules(marketd.__path__, "marketd."):
        if not package.ispkg:
            continue
        inner = importlib.import_module(package.name)
        for module in pkgutil.iter_modules(inner.__path__, f"{package.name}."):
            name = module.name.rsplit(".", 1)[-1]
            if name in KERNEL_MODELS if package.name == "marketd.kernel" else name.endswith("model"):
                importlib.import_module(module.name)


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
