"""Making all documents anew, product by product in the order of their ids: after another language was chosen, and when
an operator asks for it.

Where it is stands in search_state, so it goes on after a restart. While it runs, products are found by their words as
they are written, which every language's documents have.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from marketd.catalog.search import documents
from marketd.kernel.db.database import Connection

BATCH: Final = 200
FIRST: Final = UUID(int=0)
"""Before every product."""

_NEXT: Final = """
SELECT product_id FROM (
  (SELECT product_id FROM products WHERE product_id > $1 ORDER BY product_id LIMIT $2)
  UNION (SELECT product_id FROM search_documents WHERE product_id > $1 ORDER BY product_id LIMIT $2)
) each ORDER BY product_id LIMIT $2
"""


class UnknownLanguage(Exception):
    """The database has no text search configuration of that name; `known` are those that it has."""

    def __init__(self, language: str, known: tuple[str, ...]) -> None:
        super().__init__(f"no text search configuration is called {language!r}; there are {', '.join(known)}")
        self.language = language
        self.known = known


async def choose_language(connection: Connection, language: str) -> bool:
    """Write documents in this language from now on, and begin to make all anew where it was another; whether it was.

    language: the name of a text search configuration of the database. Raises UnknownLanguage.
    """
    known = [row["cfgname"] for row in await connection.fetch("SELECT cfgname FROM pg_ts_config ORDER BY cfgname")]
    if language not in known:
        raise UnknownLanguage(language, tuple(known))
    tag = await connection.execute(
        "UPDATE search_state SET language = $1, rebuild_after = $2 WHERE language <> $1", language, FIRST
    )
    return tag != "UPDATE 0"


async def read_language(connection: Connection) -> str:
    """The language that documents are written in."""
    language: str = await connection.fetchval("SELECT language FROM search_state")
    return language


async def step(connection: Connection) -> bool:
    """Make the next batch of documents anew; whether there was one. False too when no rebuild runs."""
    after = await connection.fetchval("SELECT rebuild_after FROM search_state")
    if after is None:
        return False
    last, _ = await write_after(connection, after)
    # Another rebuild may have begun meanwhile: where it is then stays.
    await connection.execute("UPDATE search_state SET rebuild_after = $2 WHERE rebuild_after = $1", after, last)
    return last is not None


async def count_products(connection: Connection) -> int:
    """How many products a rebuild looks at, in any state."""
    count: int = await connection.fetchval("SELECT count(*) FROM products")
    return count


async def write_after(connection: Connection, after: UUID = FIRST) -> tuple[UUID | None, int]:
    """Make the documents of the next products behind that one anew: the last of them (None: that was all), and how
    many they were. Documents that no product has any more are looked for too, and go.
    """
    rows = await connection.fetch(_NEXT, after, BATCH)
    ids = [row["product_id"] for row in rows]
    await documents.lock_products(connection, ids)
    await documents.write_documents(connection, ids)
    return (ids[-1] if ids else None), len(ids)
