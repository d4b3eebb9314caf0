"""A catalog of any size in a few minutes: the products of a file again and again, straight into the tables.

Each repetition has codes, a price, sales and a stock of its own and the words of its original, so words are as frequent
as in the file. What search reads is made by the server's own statement for each original and copied for the others.
Indexes are dropped first and made anew at the end. For empty databases only.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from marketd.bench.growth_words import own_products
from marketd.bench.search_files import SearchProduct, read_products
from marketd.catalog.names import slugify, title_key
from marketd.catalog.search import documents, standing, texts
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.texts import name_key

# ruff: noqa: S608 - every interpolated part is one of the constants here
_OWN: Final = 5_000
_CHUNK: Final = 50_000
_DOCUMENTS_AT_ONCE: Final = 500
_AISLES: Final = 16
# As many as a product of a real shop has; some of the file's have a hundred.
_MOST_ATTRIBUTES: Final = 12
_DEPARTMENTS: Final = 12
_PRODUCTS_A_SHOP: Final = 5_000
_LEAST_SHOPS: Final = 4
_TABLES: Final = ("products", "variants", "stocks", "search_documents", "search_words", "search_sales")
_ALSO_ANALYZED: Final = ("categories", "brands", "sellers", "search_attributes")
_OPTIONS: Final = {"maintenance_work_mem": "512MB", "work_mem": "128MB"}

_SHOP: Final = """
INSERT INTO sellers (seller_id, owner_user_id, handle, shop_name, shop_name_key, description, state, contact,
  prep_duration, time_zone, opening_hours, approve_time, create_time, update_time)
VALUES ($1, $2, $3, $4, $5, '', 'ACTIVE', '{}', '10 minutes', 'UTC', '[]', now(), now(), now())
"""
_ORIGINALS: Final = """
CREATE TEMPORARY TABLE original (
  place int, title text, title_key text, slug text, description text, brand_id uuid, category_id uuid,
  attributes jsonb, price_minor bigint, sku text, copies int
)
"""
_ORIGINAL_COLUMNS: Final = (
    "place",
    "title",
    "title_key",
    "slug",
    "description",
    "brand_id",
    "category_id",
    "attributes",
    "price_minor",
    "sku",
    "copies",
)
# The older come first, a second apart, so ids go up as they do in use. What differs in each is drawn by its number.
# The words of the codes come behind the others here, and behind the brand where the server writes a document.
_THINGS: Final = f"""
CREATE TEMPORARY TABLE thing AS
SELECT t.*, setweight(to_tsvector('simple', {texts.plain_sql("t.sku || ' ' || t.barcode")}), 'B') AS code_words FROM (
  SELECT n, o.place, uuidv7(make_interval(secs => n - $1)) AS product_id,
    uuidv7(make_interval(secs => n - $1)) AS variant_id, s.ids[1 + n % cardinality(s.ids)] AS seller_id,
    now() + make_interval(secs => n - $1) AS create_time, concat_ws('-', nullif(o.sku, ''), n) AS sku,
    lpad((4000000000000 + n::bigint * 7919)::text, 13, '0') AS barcode,
    80 + (hashint4(n) & 31) AS price_percent,
    CASE WHEN hashint4(n + 1) & 15 = 0 THEN 0 ELSE 1 + (hashint4(n + 1) & 63) END AS on_hand,
    CASE WHEN hashint4(n + 2) & 3 = 0 THEN 4000 / (1 + (hashint4(n + 3) & 4095)) ELSE 0 END AS sold_30d,
    CASE WHEN hashint4(n + 4) & 1 = 0 THEN 300 / (1 + (hashint4(n + 5) & 255)) ELSE 0 END AS rating_count,
    3000 + (hashint4(n + 6) & 1023) + 900 * (hashint4(n + 7) & 1) AS rating_average_milli
  FROM generate_series(0, $1 - 1) n JOIN original o ON o.place = n % $2
  CROSS JOIN (SELECT array_agg(seller_id) AS ids FROM sellers) s
) t
"""
_PRICE: Final = "greatest(1, o.price_minor * t.price_percent / 100)"
_RATING: Final = "CASE WHEN t.rating_count > 0 THEN t.rating_average_milli ELSE 0 END"
_FROM: Final = "FROM thing t JOIN original o ON o.place = t.place WHERE t.n >= $1 AND t.n < $2"
_PRODUCTS: Final = f"""
INSERT INTO products (product_id, seller_id, handle, slug, title, title_key, description, category_id, brand_id, tags,
  attributes, option_names, currency, price_minor, rating_count, rating_average_milli, state, publish_time, version,
  create_time, update_time)
SELECT t.product_id, t.seller_id, o.slug || '-' || t.n, o.slug || '-' || t.n, o.title, o.title_key, o.description,
  o.category_id, o.brand_id, '{{}}', o.attributes, '{{}}', $3, {_PRICE}, t.rating_count, {_RATING}, 'PUBLISHED',
  t.create_time, 1, t.create_time, t.create_time {_FROM} ORDER BY t.n
"""
_VARIANTS: Final = f"""
INSERT INTO variants (variant_id, product_id, seller_id, sku, sku_key, options, options_key, price_minor, active,
  barcode, position, version, create_time, update_time)
SELECT t.variant_id, t.product_id, t.seller_id, t.sku, lower(t.sku), '[]', '', {_PRICE}, true, t.barcode, 1, 1,
  t.create_time, t.create_time {_FROM} ORDER BY t.n
"""
_STOCKS: Final = """
INSERT INTO stocks (variant_id, seller_id, on_hand, create_time, update_time)
SELECT t.variant_id, t.seller_id, t.on_hand, t.create_time, t.create_time
FROM thing t WHERE t.n >= $1 AND t.n < $2 ORDER BY t.n
"""
_MOVEMENTS: Final = """
INSERT INTO stock_movements (movement_id, variant_id, seller_id, kind, delta, on_hand, actor, create_time)
SELECT t.variant_id, t.variant_id, t.seller_id, 'OPENED', t.on_hand, t.on_hand, 'SYSTEM', t.create_time
FROM thing t WHERE t.n >= $1 AND t.n < $2 AND t.on_hand > 0 ORDER BY t.n
"""
_SALES: Final = """
INSERT INTO search_sales (product_id, day, sold)
SELECT t.product_id, (now() AT TIME ZONE 'UTC')::date, t.sold_30d
FROM thing t WHERE t.n >= $1 AND t.n < $2 AND t.sold_30d > 0 ORDER BY t.n
"""
_DOCUMENTS: Final = f"""
INSERT INTO search_documents (product_id, seller_id, brand_id, publish_time, price_minor, sample_key, sold_30d,
  rating_count, rating_average_milli, popularity, in_stock, category_path, attribute_keys, codes, title_key, head_words,
  words)
SELECT t.product_id, t.seller_id, o.brand_id, t.create_time, {_PRICE}, uuid_hash(t.product_id), t.sold_30d,
  t.rating_count, {_RATING}, {standing.popularity_sql("t.sold_30d", f"({_RATING})", "t.rating_count")}, t.on_hand > 0,
  d.category_path, d.attribute_keys,
  ARRAY(SELECT {texts.code_sql("code")} FROM unnest(ARRAY[t.sku, t.barcode]) code ORDER BY 1), o.title_key,
  d.head_words || t.code_words, d.words || t.code_words
FROM thing t JOIN original o ON o.place = t.place JOIN original_document d ON d.place = t.place
WHERE t.n >= $1 AND t.n < $2 ORDER BY t.n
"""
_MARK: Final = """
CREATE TABLE bench_growth (products int NOT NULL, words text NOT NULL)
"""
_KEEP: Final = """
CREATE TEMPORARY TABLE original_document AS
SELECT t.place, d.category_path, d.attribute_keys, d.head_words, d.words
FROM search_documents d JOIN thing t USING (product_id)
"""
_WRITTEN: Final = """
CREATE TEMPORARY TABLE written AS SELECT DISTINCT unnest(written) AS word FROM search_word_changes
"""
# A word of an original stands in as many documents as there are copies of it; a word of a code is counted itself.
_WORDS: Final = f"""
INSERT INTO search_words (word, documents, written)
SELECT each.word, sum(each.documents)::int, w.word IS NOT NULL FROM (
  SELECT unnest({texts.lexemes_sql("d.words")}) AS word, o.copies AS documents
  FROM original_document d JOIN original o USING (place)
  UNION ALL
  SELECT code.word, 1 FROM thing t JOIN original_document d ON d.place = t.place
  CROSS JOIN LATERAL unnest(tsvector_to_array(t.code_words)) code(word)
  WHERE NOT d.words @@ array_to_tsvector(ARRAY[code.word])::text::tsquery
) each LEFT JOIN written w ON w.word = each.word
GROUP BY each.word, w.word
"""


@dataclass(frozen=True, slots=True)
class Grown:
    """What was filled in: how many products of how many originals, and how long it took."""

    products: int
    originals: int
    seconds: float


async def grow(
    connection: asyncpg.Connection[asyncpg.Record],
    products: int,
    *,
    source: Path | None = None,
    currency: str = "EUR",
    progress: Callable[[str], None] = lambda said: None,
) -> Grown:
    """Fill an empty, migrated database with so many published products, ANALYZEd.

    connection: of a superuser or the owner of the tables, without a transaction or a timeout. source: a file of
    products; the project's own words without one. Raises FileUnusable, and RuntimeError when there are products.
    """
    begun = time.monotonic()
    originals = _spread(read_products(source) if source is not None else own_products(_OWN), products)

    def say(what: str) -> None:
        progress(f"{time.monotonic() - begun:.0f} s: {what}")

    if await connection.fetchval("SELECT EXISTS (SELECT FROM products)"):
        raise RuntimeError("there are products already; take an empty database")
    await connection.execute(_MARK)
    async with connection.transaction():
        for option, value in _OPTIONS.items():
            await connection.execute("SELECT set_config($1, $2, true)", option, value)
        if await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
            # Foreign keys hold by construction, and looking at each of millions takes a minute.
            await connection.execute("SET LOCAL session_replication_role = replica")
        indexes = await _drop_indexes(connection)
        await _make_surroundings(connection, originals, products)
        await connection.execute(_THINGS, products, len(originals))
        await connection.execute("CREATE INDEX ON thing (n)")
        await connection.execute("ANALYZE thing")
        await connection.execute("ANALYZE original")
        say(f"{len(originals):,} originals, {_shops(products)} shops")
        # The originals' documents are made while there are no codes, which are different in each copy.
        await connection.execute(_PRODUCTS, 0, len(originals), currency)
        await _make_documents(connection, len(originals), say)
        for first in range(0, products, _CHUNK):
            last = min(products, first + _CHUNK)
            if last > len(originals):
                await connection.execute(_PRODUCTS, max(first, len(originals)), last, currency)
            for statement in (_VARIANTS, _STOCKS, _MOVEMENTS, _SALES, _DOCUMENTS):
                await connection.execute(statement, first, last)
            say(f"{last:,} of {products:,} products")
        await connection.execute(_WORDS)
        for name, definition in indexes:
            say(f"index {name}")
            await connection.execute(definition)
    for table in _TABLES:
        await connection.execute(f"VACUUM (ANALYZE) {table}")
    for table in _ALSO_ANALYZED:
        await connection.execute(f"ANALYZE {table}")
    await connection.execute("INSERT INTO bench_growth (products, words) VALUES ($1, $2)", products, _words_of(source))
    say("done")
    return Grown(products, len(originals), time.monotonic() - begun)


async def is_grown(connection: asyncpg.Connection[asyncpg.Record], products: int, source: Path | None) -> bool:
    """Whether the database was filled so before, to its end. Raises RuntimeError when it was filled otherwise."""
    if await connection.fetchval("SELECT to_regclass('bench_growth') IS NULL"):
        return False
    row = await connection.fetchrow("SELECT products, words FROM bench_growth")
    if row is None or (row["products"], row["words"]) != (products, _words_of(source)):
        raise RuntimeError(
            f"the kept marketplace of {products:,} products has other words or was not finished; remove its folder"
        )
    return True


def _words_of(source: Path | None) -> str:
    """Which words a catalog is made of: the sum of the file's bytes, or none for the project's own."""
    return hashlib.sha256(source.read_bytes()).hexdigest() if source is not None else ""


def _spread(found: Sequence[SearchProduct], products: int) -> Sequence[SearchProduct]:
    """All of them, or evenly picked ones when fewer products are wanted."""
    if products >= len(found):
        return found
    return [found[place * len(found) // products] for place in range(products)]


def _shops(products: int) -> int:
    return max(_LEAST_SHOPS, products // _PRODUCTS_A_SHOP)


async def _drop_indexes(connection: asyncpg.Connection[asyncpg.Record]) -> list[tuple[str, str]]:
    """Drop what is no constraint; the names, and the statements that make them again, the smallest first."""
    rows = await connection.fetch(
        "SELECT c.relname, pg_get_indexdef(i.indexrelid) AS definition FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = ANY($1::text[]::regclass[])"
        " AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid) ORDER BY c.relname",
        list(_TABLES),
    )
    for row in rows:
        await connection.execute(f'DROP INDEX "{row["relname"]}"')
    return [(row["relname"], row["definition"]) for row in rows]


async def _make_surroundings(
    connection: asyncpg.Connection[asyncpg.Record], originals: Sequence[SearchProduct], products: int
) -> None:
    """Shops, brands, categories, and the originals in a table of their own."""
    for number in range(_shops(products)):
        await connection.execute(_SHOP, new_id(), new_id(), f"growth-{number}", f"Shop {number}", f"shop {number}")
    brands = {name_key(each.brand): (new_id(), each.brand) for each in originals if each.brand}
    await connection.executemany(
        "INSERT INTO brands (brand_id, name, name_key, slug, description, version, create_time, update_time)"
        " VALUES ($1, $2, $3, $4, '', 1, now(), now())",
        [
            (brand_id, name, key, f"{slugify(name, 'brand')}-{number}")
            for number, (key, (brand_id, name)) in enumerate(brands.items())
        ],
    )
    departments = [new_id() for _ in range(_DEPARTMENTS)]
    aisles = [(new_id(), departments[number % _DEPARTMENTS]) for number in range(_DEPARTMENTS * _AISLES)]
    names = [f"Department {n}" for n in range(_DEPARTMENTS)] + [f"Aisle {n}" for n in range(len(aisles))]
    rows: list[tuple[uuid.UUID, uuid.UUID | None]] = [*((each, None) for each in departments), *aisles]
    await connection.executemany(
        "INSERT INTO categories (category_id, parent_category_id, name, name_key, slug, description, position, path,"
        " version, create_time, update_time)"
        " VALUES ($1, $2, $3, $4, $5, '', 0, array_remove(ARRAY[$2::uuid, $1::uuid], NULL), 1, now(), now())",
        [
            (category_id, above, name, name_key(name), slugify(name, "category"))
            for (category_id, above), name in zip(rows, names, strict=True)
        ],
    )
    await connection.execute(_ORIGINALS)
    await connection.copy_records_to_table(
        "original",
        columns=_ORIGINAL_COLUMNS,
        records=[
            _record(place, each, brands, aisles, products, len(originals)) for place, each in enumerate(originals)
        ],
    )


def _record(
    place: int,
    original: SearchProduct,
    brands: dict[str, tuple[uuid.UUID, str]],
    aisles: Sequence[tuple[uuid.UUID, uuid.UUID]],
    products: int,
    count: int,
) -> tuple[object, ...]:
    # Alike things stand together: what begins alike is in one aisle, and some aisles are much fuller than others.
    aisle = sum(original.title.encode()[:8]) ** 2 % len(aisles)
    return (
        place,
        original.title,
        title_key(original.title),
        slugify(original.title, "product")[:100],
        original.description,
        brands[name_key(original.brand)][0] if original.brand else None,
        aisles[aisle][0],
        json.dumps(dict(list(original.attributes.items())[:_MOST_ATTRIBUTES])),
        original.price_minor,
        original.sku[:200],
        (products - 1 - place) // count + 1,
    )


async def _make_documents(
    connection: asyncpg.Connection[asyncpg.Record], originals: int, say: Callable[[str], None]
) -> None:
    """The documents of the originals, by the server's own statement, kept to be copied."""
    rows = await connection.fetch("SELECT product_id FROM thing WHERE n < $1 ORDER BY n", originals)
    ids = [row["product_id"] for row in rows]
    for first in range(0, originals, _DOCUMENTS_AT_ONCE):
        await documents.write_documents(connection, ids[first : first + _DOCUMENTS_AT_ONCE])
    await connection.execute(_KEEP)
    await connection.execute(_WRITTEN)
    await connection.execute("TRUNCATE search_documents, search_word_changes, search_words")
    await connection.execute("ANALYZE original_document")
    say("the originals' documents")
