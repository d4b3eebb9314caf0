"""What the migrations make is what the models say, as PostgreSQL itself writes both down: every column with its
default, every constraint with its text, every index with its predicate. Alembic's own check looks at neither of these.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final, TypeAlias

import asyncpg
import marketd
from marketd.kernel.db.database import DIALECT, Base, connector
from marketd.schema.check import EXTENSIONS
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# What belongs to an extension, and the partitions, which come and go, are not compared. NOT NULL stands at its column.
# Foreign keys are known by what they say: four have names of another convention, and nothing asks for those.
_OURS: Final = """
  ours AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relkind, c.relpersistence, c.reloptions FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
  )
"""
_SHAPE: Final = f"""
WITH {_OURS}
SELECT 'relation ' || relname AS name, concat_ws(' ', relkind, relpersistence, reloptions::text,
    pg_get_partkeydef(oid)) AS said
FROM ours WHERE relkind NOT IN ('i', 'I')
UNION ALL
SELECT format('column %s.%s', relname, attname), concat_ws(' ', format_type(atttypid, atttypmod),
    CASE WHEN attnotnull THEN 'NOT NULL' END, 'identity ' || nullif(attidentity::text, ''),
    'generated ' || nullif(attgenerated::text, ''), 'collation ' || nullif(attcollation, 100)::regcollation,
    'default ' || pg_get_expr(adbin, adrelid))
FROM ours JOIN pg_attribute ON attrelid = ours.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relkind IN ('r', 'p', 'v', 'm')
UNION ALL
SELECT format('constraint %s.%s', relname, CASE contype WHEN 'f' THEN pg_get_constraintdef(c.oid) ELSE conname END),
    pg_get_constraintdef(c.oid) || CASE WHEN convalidated THEN '' ELSE ' NOT VALIDATED' END
FROM ours JOIN pg_constraint c ON conrelid = ours.oid AND contype <> 'n'
UNION ALL
SELECT format('index %s', i.indexrelid::regclass),
    pg_get_indexdef(i.indexrelid) || CASE WHEN indisvalid THEN '' ELSE ' INVALID' END
FROM ours JOIN pg_index i ON indrelid = ours.oid
UNION ALL
SELECT format('trigger %s.%s', relname, tgname), pg_get_triggerdef(t.oid)
FROM ours JOIN pg_trigger t ON tgrelid = ours.oid WHERE NOT tgisinternal
UNION ALL
SELECT format('function %s', p.oid::regprocedure), pg_get_functiondef(p.oid) FROM pg_proc p
WHERE pronamespace = 'public'::regnamespace AND prokind <> 'a'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
UNION ALL
SELECT format('type %s', t.oid::regtype), t.typtype::text FROM pg_type t
WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd', 'r')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
"""

_PARTITIONS: Final = """
SELECT inhparent::regclass::text, inhrelid::regclass::text, pg_get_expr(relpartbound, oid)
FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'
"""

# What the models have no words for.
EXTENSIONS_MADE: Final = {"pg_trgm", "plpgsql", "unaccent"}
SCHEMAS_MADE: Final = {"position_partitions", "public"}
PARTITIONS_MADE: Final = {("position_points", "position_partitions.position_points_default", "DEFAULT")}


def bring_models() -> None:
    """Import every module that maps tables; the migrations have done so only where they ran in this process."""
    root = Path(marketd.__path__[0])
    for path in sorted(root.rglob("*.py")):
        if "(Base):" in path.read_text(encoding="utf-8"):
            importlib.import_module(".".join(("marketd", *path.relative_to(root).with_suffix("").parts)))


async def shape(connection: Connection) -> dict[str, str]:
    """Everything in the public schema by its kind and name, as PostgreSQL writes it down."""
    rows = await connection.fetch(_SHAPE)
    found = {row["name"]: row["said"] for row in rows}
    assert len(found) == len(rows)
    return found


async def model(url: str) -> None:
    """Throw away what there is and make what the models say instead."""
    engine = create_async_engine(DIALECT, async_creator=connector(url), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            for schema in sorted(SCHEMAS_MADE):
                await connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
            await connection.exec_driver_sql("CREATE SCHEMA public")
            for extension in EXTENSIONS:
                await connection.exec_driver_sql(f"CREATE EXTENSION {extension}")
            await connection.run_sync(lambda sync: Base.metadata.create_all(sync, checkfirst=False))
    finally:
        await engine.dispose()


async def test_the_migrations_make_every_check_default_and_index_that_the_models_say_and_no_others(
    database_url: str,
) -> None:
    bring_models()
    connection = await asyncpg.connect(database_url)
    try:
        assert {
            each["extname"] for each in await connection.fetch("SELECT extname FROM pg_extension")
        } == EXTENSIONS_MADE
        assert {tuple(each) for each in await connection.fetch(_PARTITIONS)} == PARTITIONS_MADE
        migrated = await shape(connection)
        await model(database_url)
        modelled = await shape(connection)
    finally:
        await connection.close()
    assert {name.partition(" ")[0] for name in migrated} >= {"relation", "column", "constraint", "index"}
    assert len(migrated) > 700
    missing = {name: said for name, said in modelled.items() if migrated.get(name) != said}
    unsaid = {name: said for name, said in migrated.items() if modelled.get(name) != said}
    assert (missing, unsaid) == ({}, {}), f"the migrations lack {missing} and the models lack {unsaid}"
