"""What must hold of search (I15): it finds what is published, says of it what the catalog says, and counts its words.

What is noted as pending is on its way and no violation, and so is everything while a rebuild runs. Words are looked at
by samples: a count of all words of a large shop takes minutes.
"""

from __future__ import annotations

from typing import Final

from marketd.kernel.db.invariants import Invariant

# ruff: noqa: S608 - every interpolated part is one of the constants here
_SETTLED: Final = (
    "NOT EXISTS (SELECT FROM search_state WHERE rebuild_after IS NOT NULL)"
    " AND NOT EXISTS (SELECT FROM search_pending w WHERE w.product_id = {product_id})"
)
_NOTED: Final = (
    "WITH noted AS MATERIALIZED (SELECT unnest(added) AS word, 1 AS difference FROM search_word_changes"
    " UNION ALL SELECT unnest(removed), -1 FROM search_word_changes) "
)

INVARIANTS: Final = (
    Invariant(
        "I15",
        "what is published is found",
        "SELECT 'product ' || p.product_id AS id, 'is published and has no document' AS wrong FROM products p"
        " WHERE p.state = 'PUBLISHED'"
        " AND NOT EXISTS (SELECT FROM search_documents d WHERE d.product_id = p.product_id)"
        f" AND {_SETTLED.format(product_id='p.product_id')}",
    ),
    Invariant(
        "I15",
        "what is not published is not found",
        "SELECT 'document ' || d.product_id AS id, 'is of no published product' AS wrong FROM search_documents d"
        " WHERE NOT EXISTS (SELECT FROM products p WHERE p.product_id = d.product_id AND p.state = 'PUBLISHED')"
        f" AND {_SETTLED.format(product_id='d.product_id')}",
    ),
    Invariant(
        "I15",
        "a document says what its product says",
        "SELECT 'document ' || d.product_id AS id, 'is not as its product is' AS wrong"
        " FROM search_documents d JOIN products p USING (product_id)"
        " WHERE (d.seller_id, d.brand_id, d.price_minor, d.title_key, d.rating_count, d.rating_average_milli)"
        " IS DISTINCT FROM (p.seller_id, p.brand_id, p.price_minor, p.title_key, p.rating_count,"
        f" p.rating_average_milli) AND {_SETTLED.format(product_id='d.product_id')}",
    ),
    Invariant(
        "I15",
        "a document knows what was sold lately",
        "SELECT 'document ' || d.product_id AS id, 'has ' || d.sold_30d || ' sold, and its days ' || s.sold AS wrong"
        " FROM search_documents d"
        " JOIN (SELECT product_id, sum(sold) AS sold FROM search_sales GROUP BY product_id) s USING (product_id)"
        f" WHERE d.sold_30d <> s.sold AND {_SETTLED.format(product_id='d.product_id')}",
    ),
    Invariant(
        "I15",
        "documents are counted",
        "SELECT 'the empty word' AS id, 'is counted ' || c.counted || ' times for ' || c.found || ' documents' AS wrong"
        f" FROM ({_NOTED} SELECT (SELECT count(*) FROM search_documents) AS found,"
        " COALESCE((SELECT documents FROM search_words WHERE word = ''), 0)"
        " + COALESCE((SELECT sum(difference) FROM noted WHERE word = ''), 0) AS counted) c WHERE c.counted <> c.found",
    ),
    # Those whose hash begins a sample of some 200.
    Invariant(
        "I15",
        "a word is counted as often as it stands in documents",
        f"{_NOTED} SELECT 'word ' || w.word AS id, 'is counted ' || w.documents || ' times and stands in ' || f.found"
        " AS wrong FROM (SELECT s.word, s.documents"
        " + COALESCE((SELECT sum(n.difference) FROM noted n WHERE n.word = s.word), 0) AS documents"
        " FROM search_words s WHERE s.documents < 10000 AND s.word <> '' AND"
        " hashtext(s.word) % greatest(1, (SELECT count(*) FROM search_words)::int / 200) = 0) w"
        " CROSS JOIN LATERAL (SELECT count(*) AS found FROM search_documents d"
        " WHERE d.words @@ array_to_tsvector(ARRAY[w.word])::text::tsquery) f WHERE w.documents <> f.found",
    ),
)
