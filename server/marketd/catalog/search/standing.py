"""How a product stands: its stock, what it costs, how it sells and what buyers think of it. SQL fragments over `p`, a
product, and the formula of popularity.

Popularity is a whole number of 0 to 100, so that it seldom changes: each change writes the document's row into all of
its indexes. 70 points are sales, on a logarithmic scale that is full at 10,000 pieces in 30 days, so a point is 14 %
more; 30 are the average rating, counted in full only with many ratings: five imagined ones of nothing go with it.
"""

from __future__ import annotations

from typing import Final

from marketd.inventory import service as inventory

SOLD: Final = "COALESCE((SELECT sum(s.sold) FROM search_sales s WHERE s.product_id = p.product_id), 0)::int"
"""The pieces that were sold lately; `sales.age` takes away what is older."""

IN_STOCK: Final = (
    "EXISTS (SELECT FROM variants v WHERE v.product_id = p.product_id AND v.active AND v.price_minor IS NOT NULL"
    f" AND {inventory.in_stock_sql('v.variant_id')})"
)
"""Whether one of its variants can be bought and is there; what buyers would wait for is not."""


def popularity_sql(sold: str, rating_average_milli: str, rating_count: str) -> str:
    """SQL: how popular a product is, 0..100."""
    sales = f"least(1, ln(1 + greatest(0, {sold})) / ln(10001))"
    rating = f"{rating_average_milli} / 5000.0 * {rating_count} / ({rating_count} + 5)"
    return f"round(70 * {sales} + 30 * {rating})::smallint"
