"""What must hold of reviews at any time (I17): ratings sum up, copies are as the sums, and only what was delivered is
reviewed.
"""

from __future__ import annotations

from typing import Final

from marketd.kernel.db.invariants import Invariant

_SUBJECT: Final = "COALESCE(product_id, courier_id, seller_id)"
_COUNTED: Final = ", ".join(f"count(*) FILTER (WHERE rating = {stars})::int" for stars in range(1, 6))
# ruff: noqa: S608 - every interpolated part is one of the constants here
INVARIANTS: Final = (
    Invariant(
        "I17",
        "a sum is what its published reviews come to",
        "SELECT kind || ' ' || subject_id AS id, 'is summed up as ' || COALESCE(s.counts::text, 'nothing')"
        "   || ' and counted as ' || COALESCE(c.counts::text, 'nothing') AS wrong FROM rating_summaries s FULL JOIN ("
        f"   SELECT kind, {_SUBJECT} AS subject_id, ARRAY[{_COUNTED}] AS counts FROM reviews"
        "   WHERE state = 'PUBLISHED' GROUP BY 1, 2) c USING (kind, subject_id)"
        " WHERE COALESCE(s.counts, '{0,0,0,0,0}') <> COALESCE(c.counts, '{0,0,0,0,0}')",
    ),
    Invariant(
        "I17",
        "a product shows its sum",
        "SELECT 'product ' || p.product_id AS id, 'shows ' || p.rating_histogram::text || ' of ' || s.counts::text"
        " AS wrong FROM rating_summaries s JOIN products p ON p.product_id = s.subject_id WHERE s.kind = 'PRODUCT'"
        " AND (p.rating_histogram <> s.counts OR p.rating_count <> (SELECT sum(each) FROM unnest(s.counts) each))",
    ),
    Invariant(
        "I17",
        "a shop shows its sum",
        "SELECT 'seller ' || s.subject_id AS id, 'shows ' || COALESCE(r.rating_counts::text, 'nothing') || ' of '"
        "   || s.counts::text AS wrong FROM rating_summaries s LEFT JOIN seller_ratings r ON r.seller_id = s.subject_id"
        " WHERE s.kind = 'SELLER' AND r.rating_counts IS DISTINCT FROM s.counts",
    ),
    Invariant(
        "I17",
        "a courier shows the sum",
        "SELECT 'courier ' || c.courier_id AS id, 'shows ' || c.rating_counts::text || ' of ' || s.counts::text"
        " AS wrong FROM rating_summaries s JOIN couriers c ON c.courier_id = s.subject_id"
        " WHERE s.kind = 'COURIER' AND c.rating_counts <> s.counts",
    ),
    Invariant(
        "I17",
        "what is reviewed was delivered",
        "SELECT 'review ' || r.review_id AS id, 'is of a line that was not delivered to its author' AS wrong"
        " FROM reviews r LEFT JOIN order_items i ON i.item_id = r.order_item_id"
        " LEFT JOIN orders o ON o.order_id = i.order_id WHERE o.deliver_time IS NULL"
        " OR i.cancelled_quantity = i.quantity OR o.buyer_id <> r.author_user_id OR o.order_id <> r.order_id",
    ),
)
