"""What search reads, looked at from outside: brought up to date at once, and compared with what it should be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from marketd.catalog.search import documents, words
from marketd.catalog.search.drain import Drain
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork


class _Rollback(Exception):
    pass


async def settle(tx: Transactor) -> None:
    """Bring in all that is noted, as the leader does."""
    drain = Drain(tx, timedelta(seconds=10), lambda: None)
    while await drain.step():
        pass


async def stale(tx: Transactor) -> list[str]:
    """What is wrong of documents and counts: the documents are not those that would be written now, or a word is not
    counted as often as it stands in them. All that is noted was brought in before.
    """
    found: list[str] = []

    async def look(uow: UnitOfWork) -> None:
        connection = uow.connection
        counts = await connection.fetch(
            f"WITH counts AS ({words.COUNTS_SQL})"
            " SELECT format('%s: %s for %s', COALESCE(c.word, w.word), w.documents, c.documents)"
            " FROM counts c FULL JOIN search_words w ON w.word = c.word WHERE w.documents IS DISTINCT FROM c.documents"
        )
        found.extend(str(row[0]) for row in counts)
        before = await _all(uow)
        ids = await connection.fetch("SELECT product_id FROM products UNION SELECT product_id FROM search_documents")
        await documents.write_documents(connection, [row[0] for row in ids])
        after = await _all(uow)
        found.extend(
            f"{product_id}: {before.get(product_id)} for {after.get(product_id)}"
            for product_id in before.keys() | after.keys()
            if before.get(product_id) != after.get(product_id)
        )
        raise _Rollback

    try:
        await tx.run("test.stale", look)
    except _Rollback:
        return found
    raise AssertionError("it was not rolled back")


async def document(tx: Transactor, product_id: UUID | str) -> dict[str, Any]:
    """A product's document; empty without one."""
    row = await tx.read(
        lambda unit: unit.connection.fetchrow(
            "SELECT d.*, tsvector_to_array(words) AS lexemes FROM search_documents d WHERE product_id = $1",
            UUID(str(product_id)),
        )
    )
    return dict(row or {})


async def has_words(tx: Transactor, product_id: UUID | str, *lexemes: str) -> bool:
    """Whether a product is found by all of these lexemes."""
    return set(lexemes) <= set((await document(tx, product_id)).get("lexemes", ()))


async def _all(uow: UnitOfWork) -> dict[UUID, dict[str, Any]]:
    rows = await uow.connection.fetch("SELECT * FROM search_documents")
    return {row["product_id"]: dict(row) for row in rows}
