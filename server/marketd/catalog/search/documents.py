"""Writing what search reads of products. Nothing here commits.

A document is made by one statement out of the database's own rows, so all writers of a product make the same one of the
same state. Whoever writes one holds the product's row lock, and the statement begins after the lock was given: so a
writer that waited for another has seen what the other wrote, and the newest state stands in the end.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from marketd.catalog.search import standing, texts
from marketd.kernel.db.database import Connection

# ruff: noqa: S608 - every interpolated part is one of the constants here
# Codes beyond these are still found when they are typed whole; as words they would drown the title.
_WORDED_VARIANTS: Final = 20
# Of tags, and of attributes and options. A vector may have a megabyte, and 2,048 variants can offer more than that.
_MOST_CHARACTERS: Final = 10_000

_COLUMNS: Final = (
    "product_id",
    "seller_id",
    "brand_id",
    "publish_time",
    "price_minor",
    "sample_key",
    "sold_30d",
    "rating_count",
    "rating_average_milli",
    "popularity",
    "in_stock",
    "category_path",
    "attribute_keys",
    "codes",
    "title_key",
    "head_words",
    "words",
)
_CHANGING: Final = [column for column in _COLUMNS if column != "product_id"]


def _each(alias: str) -> str:
    return ", ".join(f"{alias}.{column}" for column in _CHANGING)


# `texts` has what a product's words are made of, `pairs` its attributes and the options that its variants offer.
DOCUMENTS_SQL: Final = f"""
wanted AS MATERIALIZED (
  SELECT p.* FROM products p WHERE p.product_id = ANY((SELECT $1::uuid[])::uuid[]) AND p.state = 'PUBLISHED'
),
codes AS (
  SELECT each.product_id, array_agg(DISTINCT code.spelled) FILTER (WHERE code.spelled <> '') AS codes,
    string_agg(one.written, ' ' ORDER BY each.place) FILTER (WHERE each.place <= {_WORDED_VARIANTS}) AS code_text
  FROM (
    SELECT v.product_id, v.sku, v.barcode,
      row_number() OVER (PARTITION BY v.product_id ORDER BY v.position, v.variant_id) AS place
    FROM wanted p JOIN variants v ON v.product_id = p.product_id WHERE v.delete_time IS NULL
  ) each
  CROSS JOIN LATERAL (VALUES (each.sku), (each.barcode)) one(written)
  CROSS JOIN LATERAL (SELECT {texts.code_sql("one.written")} AS spelled) code
  GROUP BY each.product_id
),
pairs AS MATERIALIZED (
  SELECT pair.product_id, pair.name, pair.value, {texts.attribute_key_sql("pair.name", "pair.value")} AS attribute_key
  FROM (
    SELECT v.product_id, option ->> 0 AS name, option ->> 1 AS value
    FROM wanted p JOIN variants v ON v.product_id = p.product_id
    CROSS JOIN LATERAL jsonb_array_elements(v.options) option
    WHERE v.delete_time IS NULL
    UNION
    SELECT p.product_id, attribute.key, attribute.value
    FROM wanted p CROSS JOIN LATERAL jsonb_each_text(p.attributes) attribute
  ) pair
),
attributes AS (
  SELECT product_id, array_agg(DISTINCT attribute_key) AS attribute_keys, string_agg(value, ' ') AS value_text
  FROM pairs GROUP BY product_id
),
texts AS MATERIALIZED (
  SELECT p.product_id, p.seller_id, p.brand_id, COALESCE(p.publish_time, p.create_time) AS publish_time, p.price_minor,
    uuid_hash(p.product_id) AS sample_key, {standing.SOLD} AS sold_30d, p.rating_count, p.rating_average_milli,
    {standing.IN_STOCK} AS in_stock, COALESCE(c.path, '{{}}') AS category_path,
    COALESCE(a.attribute_keys, '{{}}') AS attribute_keys, COALESCE(v.codes, '{{}}') AS codes, p.title_key,
    {texts.plain_sql("p.title")} AS title_text,
    {texts.plain_sql("COALESCE(b.name, '')")} AS brand_text,
    {texts.plain_sql("COALESCE(v.code_text, '')")} AS code_text,
    {texts.plain_sql(f"left(concat_ws(' ', c.names, array_to_string(p.tags, ' ')), {_MOST_CHARACTERS})")} AS kind_text,
    {texts.plain_sql(f"left(COALESCE(a.value_text, ''), {_MOST_CHARACTERS})")} AS value_text,
    {texts.plain_sql(texts.markup_free_sql("p.description"))} AS description_text
  FROM wanted p
  LEFT JOIN brands b ON b.brand_id = p.brand_id
  LEFT JOIN LATERAL (
    SELECT own.path, (SELECT string_agg(above.name, ' ' ORDER BY cardinality(above.path)) FROM categories above
      WHERE above.category_id = ANY(own.path)) AS names
    FROM categories own WHERE own.category_id = p.category_id
  ) c ON true
  LEFT JOIN codes v ON v.product_id = p.product_id
  LEFT JOIN attributes a ON a.product_id = p.product_id
),
heads AS MATERIALIZED (
  SELECT t.*, {standing.popularity_sql("t.sold_30d", "t.rating_average_milli", "t.rating_count")} AS popularity,
    l.language,
    {texts.vector_sql("l.language", "t.title_text", "A")}
    || {texts.vector_sql("l.language", "t.brand_text || ' ' || t.code_text", "B")}
    || {texts.vector_sql("l.language", "t.kind_text", "C")} AS head_words
  FROM texts t CROSS JOIN (SELECT language::regconfig AS language FROM search_state) l
),
documents AS MATERIALIZED (
  SELECT h.*, h.head_words || {texts.vector_sql("h.language", "h.value_text", "C")}
    || {texts.vector_sql("h.language", "h.description_text", "D")} AS words
  FROM heads h
)
"""
"""CTEs: `documents` has the columns of search_documents for those of the products $1 that are published, `pairs` their
attributes.
"""

_WRITE: Final = f"""
WITH {DOCUMENTS_SQL},
before AS MATERIALIZED (
  SELECT product_id, words FROM search_documents WHERE product_id = ANY((SELECT $1::uuid[])::uuid[])
),
new_attributes AS (
  INSERT INTO search_attributes (attribute_key, name, value)
  SELECT DISTINCT ON (a.attribute_key) a.attribute_key, a.name, a.value FROM pairs a
  ORDER BY a.attribute_key, a.value ON CONFLICT DO NOTHING
),
written AS (
  INSERT INTO search_documents AS d ({", ".join(_COLUMNS)})
  SELECT n.product_id, {_each("n")} FROM documents n
  ON CONFLICT (product_id) DO UPDATE SET {", ".join(f"{column} = excluded.{column}" for column in _CHANGING)}
  WHERE ({_each("d")}) IS DISTINCT FROM ({_each("excluded")})
),
gone AS (
  DELETE FROM search_documents d USING before b
  WHERE d.product_id = b.product_id AND NOT EXISTS (SELECT FROM documents n WHERE n.product_id = d.product_id)
)
INSERT INTO search_word_changes (added, removed, written)
SELECT added, removed, ARRAY(
    SELECT unnest(tsvector_to_array(
      to_tsvector('simple', concat_ws(' ', title_text, brand_text, kind_text, value_text))))
    INTERSECT SELECT unnest(added))
FROM (
  SELECT n.title_text, n.brand_text, n.kind_text, n.value_text,
    ARRAY(SELECT unnest(new.words) EXCEPT SELECT unnest(old.words)) AS added,
    ARRAY(SELECT unnest(old.words) EXCEPT SELECT unnest(new.words)) AS removed
  FROM documents n FULL JOIN before b ON b.product_id = n.product_id
  CROSS JOIN LATERAL (SELECT {texts.lexemes_sql("n.words")} AS words) new
  CROSS JOIN LATERAL (SELECT {texts.lexemes_sql("b.words")} AS words) old
  WHERE n.words IS DISTINCT FROM b.words OFFSET 0
) difference WHERE cardinality(added) + cardinality(removed) > 0
"""

_WRITE_STANDING: Final = f"""
UPDATE search_documents d
SET in_stock = n.in_stock, sold_30d = n.sold_30d, popularity = n.popularity, price_minor = n.price_minor,
  rating_count = n.rating_count, rating_average_milli = n.rating_average_milli
FROM (
  SELECT s.*, {standing.popularity_sql("s.sold_30d", "s.rating_average_milli", "s.rating_count")} AS popularity FROM (
    SELECT p.product_id, p.price_minor, p.rating_count, p.rating_average_milli,
      {standing.IN_STOCK} AS in_stock, {standing.SOLD} AS sold_30d
    FROM products p WHERE p.product_id = ANY((SELECT $1::uuid[])::uuid[]) AND p.state = 'PUBLISHED'
  ) s
) n
WHERE d.product_id = n.product_id
  AND (d.in_stock, d.sold_30d, d.popularity, d.price_minor, d.rating_count, d.rating_average_milli)
    IS DISTINCT FROM (n.in_stock, n.sold_30d, n.popularity, n.price_minor, n.rating_count, n.rating_average_milli)
"""

_LOCK: Final = """
WITH planned AS (SELECT set_config('plan_cache_mode', 'force_custom_plan', true))
SELECT FROM products, planned WHERE product_id = ANY($1::uuid[]) ORDER BY product_id FOR NO KEY UPDATE OF products
"""


async def write_documents(connection: Connection, product_ids: Sequence[UUID]) -> None:
    """Write the documents of these products as their rows are now; what is not published loses its document.

    The caller has locked the products, and made or changed them before this. What is so already stays as it is.
    """
    if product_ids:
        await connection.execute(_WRITE, list(product_ids))


async def write_standing(connection: Connection, product_ids: Sequence[UUID]) -> None:
    """Write only how these products stand: stock, sales, ratings, price. The caller has locked them, as above."""
    if product_ids:
        await connection.execute(_WRITE_STANDING, list(product_ids))


async def lock_products(connection: Connection, product_ids: Collection[UUID]) -> None:
    """Lock products as their documents' writers do, in id order; what changes a product has a stronger lock on it.

    For batches: what follows is planned each time. During an import tables grow a hundredfold, and a plan that was kept
    from when they were small reads all of them.
    """
    if product_ids:
        await connection.execute(_LOCK, list(product_ids))
