"""The statement that lists reviews. Every combination of what a list is narrowed to has an index that gives its first
page, and the best of those are taken: page 1,000 costs what page 1 does, however many reviews there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias
from uuid import UUID

from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments
from marketd.kernel.values.ratings import STARS
from marketd.review.model import ReviewKind, ReviewState
from marketd.review.repository.reviews import REVIEW
from marketd.review.values import Review, ReviewQuery

# ruff: noqa: S608 - every interpolated part is one of the constants here, or the number of an argument
ReviewKey: TypeAlias = tuple[int | UUID, ...]
"""Where a review stands in a list: what the order sorts by, and its id."""

# Ids grow with time.
_SORTS: Final = {
    "create_time": ("review_id",),
    "rating": ("rating", "review_id"),
    "report_count": ("report_count", "review_id"),
}
ORDERS: Final = tuple(_SORTS)


async def list_page(
    connection: Connection,
    query: ReviewQuery,
    states: Sequence[ReviewState],
    own: Sequence[ReviewState],
    author_user_id: UUID | None,
    after: ReviewKey | None,
    limit: int,
) -> list[Review]:
    """The next `limit` reviews after the one with that key: of everybody in `states`, of this author in those of `own`.

    No state is in both, and one at least is there.
    """
    statement, arguments = page_sql(query, states, own, author_user_id, after, limit)
    return REVIEW.values(await connection.fetch(statement, *arguments))


def page_sql(
    query: ReviewQuery,
    states: Sequence[ReviewState],
    own: Sequence[ReviewState],
    author_user_id: UUID | None,
    after: ReviewKey | None,
    limit: int,
) -> tuple[str, Arguments]:
    """The statement of `list_page` and its arguments."""
    arguments = Arguments(limit)
    keys = _SORTS[query.order]
    way = " DESC" if query.descending else ""
    columns = ", ".join(f"r.{key}" for key in dict.fromkeys((*keys, "review_id")))

    def tail(alias: str) -> str:
        return " ORDER BY " + ", ".join(f"{alias}{key}{way}" for key in keys) + " LIMIT $1"

    common: list[str] = []
    if query.with_images:
        common.append("r.media_ids <> '{}'")
    if query.reported:
        common.append("r.report_count > 0")
    if after is not None:
        place = ", ".join(arguments.add(part) for part in after)
        common.append(f"({', '.join(f'r.{key}' for key in keys)}) {'<' if query.descending else '>'} ({place})")
    parts: list[str] = []
    if states:
        sources, conditions = _narrowed(query, states, arguments)
        inner = f"SELECT {columns} FROM reviews r WHERE {' AND '.join([*conditions, *common])}{tail('r.')}"
        parts.append(f"SELECT l.* FROM {', '.join(sources)} CROSS JOIN LATERAL ({inner}) l{tail('l.')}")
    if own:
        # Nobody has so many that an order of them costs much.
        mine = [f"r.author_user_id = {arguments.add(author_user_id)}", *_filters(query, own, arguments), *common]
        parts.append(f"SELECT {columns} FROM reviews r WHERE {' AND '.join(mine)}{tail('r.')}")
    page = parts[0] if len(parts) == 1 else " UNION ALL ".join(f"({part})" for part in parts) + tail("")
    return (
        f"WITH page AS ({page}) SELECT {REVIEW.sql} FROM page JOIN reviews r USING (review_id){tail('r.')}",
        arguments,
    )


def _narrowed(query: ReviewQuery, states: Sequence[ReviewState], arguments: Arguments) -> tuple[list[str], list[str]]:
    """The rows for each of which a page is taken from an index, and the conditions on a review."""
    sources: list[str] = []
    conditions: list[str] = []

    def each(column: str, kind: str, values: Sequence[object]) -> None:
        sources.append(f"unnest({arguments.add(list(values))}::{kind}[]) any_{column}({column})")
        conditions.append(f"r.{column} = any_{column}.{column}")

    subjects = {"product_id": query.product_ids, "courier_id": query.courier_ids, "seller_id": query.seller_ids}
    leading = next((column for column, ids in subjects.items() if ids), None)
    for column, ids in subjects.items():
        if column == leading:
            each(column, "uuid", ids)
        elif ids:
            conditions.append(f"r.{column} = ANY({arguments.add(list(ids))}::uuid[])")
    kinds = [kind.value for kind in query.kinds or tuple(ReviewKind)]
    if leading in ("product_id", "courier_id"):
        # They have reviews of one kind only.
        conditions.append(f"r.kind = ANY({arguments.add(kinds)}::text[])")
    else:
        each("kind", "text", kinds)
    each("state", "text", [state.value for state in states])
    if query.ratings or query.with_images:
        each("rating", "smallint", query.ratings or range(1, STARS + 1))
    return sources, conditions


def _filters(query: ReviewQuery, states: Sequence[ReviewState], arguments: Arguments) -> list[str]:
    """The same as conditions alone."""
    found: list[str] = []
    for column, kind, values in (
        ("product_id", "uuid", query.product_ids),
        ("seller_id", "uuid", query.seller_ids),
        ("courier_id", "uuid", query.courier_ids),
        ("kind", "text", [kind.value for kind in query.kinds]),
        ("rating", "smallint", query.ratings),
        ("state", "text", [state.value for state in states]),
    ):
        if values:
            found.append(f"r.{column} = ANY({arguments.add(list(values))}::{kind}[])")
    return found


def cursor_of(review: Review, order: str) -> ReviewKey:
    """Where the review stands in a list of this order."""
    return tuple(getattr(review, column) for column in _SORTS[order])
