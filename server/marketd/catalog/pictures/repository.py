"""Every SQL statement over pictures that were given by their address, and over the places of a product's pictures.

What a product shows is read with the product, and written with it by specs.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from marketd.catalog.model import RemoteImageState
from marketd.catalog.pictures.values import ClaimedImage, FetchFailure, RemoteImage, RemoteImageQuery
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Arguments, Columns

# ruff: noqa: S608 - every interpolated part is one of the constants here
ORDERS: Final = ("create_time",)
MOST_LANES: Final = 64
"""How many lanes a claim looks at; the next one goes on behind them."""
_LAST_HOST: Final = "\U0010ffff"

_REMOTE = Columns(RemoteImage, table="r", expressions={"product_id": "i.product_id", "url": "i.url"})
_CLAIMED = Columns(ClaimedImage)

# A lane is a seller's pictures at one host. Each step of the walk is one look into the index, so neither the number of
# pictures nor that of shops makes a claim slower. Of each lane the oldest come, and they come in turns: every lane's
# first, then every lane's second; but no more of a host than it may be asked for at once, and no more of a shop than
# leaves places to others: who names a thousand hosts has a thousand lanes. Those of a shop that has its share are left
# out.
_CLAIM = """
WITH RECURSIVE lanes AS (
  (SELECT r.seller_id, r.host, 1 AS place FROM remote_images r
   WHERE r.state = 'WAITING' AND (r.seller_id, r.host) > ($2, $3) ORDER BY r.seller_id, r.host LIMIT 1)
  UNION ALL
  SELECT n.seller_id, n.host, l.place + 1 FROM lanes l CROSS JOIN LATERAL (
    SELECT r.seller_id, r.host FROM remote_images r
    WHERE r.state = 'WAITING'
    AND (r.seller_id, r.host) > (l.seller_id, CASE WHEN l.seller_id = ANY($12) THEN $13 ELSE l.host END)
    ORDER BY r.seller_id, r.host LIMIT 1
  ) n WHERE l.place < $4
), due AS MATERIALIZED (
  SELECT d.image_id, d.next_try_time, l.seller_id, l.host, l.place, COALESCE(b.room, $5) AS room,
    COALESCE(s.room, $14) AS room_of_shop
  FROM lanes l
  LEFT JOIN unnest($6::text[], $7::int[]) AS b(host, room) ON b.host = l.host
  LEFT JOIN unnest($10::uuid[], $11::int[]) AS s(seller_id, room) ON s.seller_id = l.seller_id
  CROSS JOIN LATERAL (
    SELECT r.image_id, r.next_try_time FROM remote_images r
    WHERE r.state = 'WAITING' AND r.seller_id = l.seller_id AND r.host = l.host AND r.next_try_time <= $1
    ORDER BY r.next_try_time LIMIT LEAST(COALESCE(b.room, $5), COALESCE(s.room, $14)) FOR UPDATE SKIP LOCKED
  ) d
), turns AS (
  SELECT *, row_number() OVER (PARTITION BY seller_id, host ORDER BY next_try_time, image_id) AS turn FROM due
), queues AS (
  SELECT *, row_number() OVER (PARTITION BY host ORDER BY turn, place) AS at_host,
    row_number() OVER (PARTITION BY seller_id ORDER BY turn, place) AS of_shop FROM turns
), chosen AS (
  SELECT image_id FROM queues WHERE at_host <= room AND of_shop <= room_of_shop ORDER BY turn, place LIMIT $8
), claimed AS (
  UPDATE remote_images r SET next_try_time = $9, tries = r.tries + 1 FROM chosen c WHERE r.image_id = c.image_id
  RETURNING r.image_id, r.seller_id, r.host, r.tries
)
SELECT w.seller_id AS last_seller_id, w.host AS last_host, f.image_id, f.product_id, f.seller_id, f.host, f.url, f.tries
FROM (SELECT count(*) AS lanes FROM lanes) every
LEFT JOIN lanes w ON w.place = $4
LEFT JOIN (
  SELECT c.image_id, i.product_id, c.seller_id, c.host, i.url, c.tries
  FROM claimed c JOIN product_images i ON i.image_id = c.image_id
) f ON true
"""


async def claim(
    connection: Connection,
    now: datetime,
    lease_end: datetime,
    behind: tuple[UUID, str],
    *,
    limit: int,
    of_host: int,
    room: Mapping[str, int],
    of_shop: int,
    room_of_shops: Mapping[UUID, int],
) -> tuple[list[ClaimedImage], tuple[UUID, str] | None]:
    """Take up to `limit` pictures that are due, of the lanes behind that one; until `lease_end` nobody else takes them.

    of_host: how many of one host may be fetched at once; room: how many more of the hosts that are being asked now.
    of_shop, room_of_shops: the same of sellers. Gives also the lane to go on behind, None when these were the last.
    """
    rows = await connection.fetch(
        _CLAIM,
        now,
        *behind,
        MOST_LANES,
        of_host,
        list(room),
        list(room.values()),
        limit,
        lease_end,
        list(room_of_shops),
        list(room_of_shops.values()),
        [seller_id for seller_id, left in room_of_shops.items() if not left],
        _LAST_HOST,
        of_shop,
    )
    last = rows[0]
    claimed = _CLAIMED.values([row for row in rows if row["image_id"] is not None])
    return claimed, None if last["last_seller_id"] is None else (last["last_seller_id"], last["last_host"])


async def set_fetched(connection: Connection, image_id: UUID, url: str, media_id: UUID) -> bool:
    """The picture is this media from now on; False when it is gone, is another's address or has a media already."""
    tag = await connection.execute(
        "UPDATE product_images SET media_id = $3 WHERE image_id = $1 AND url = $2 AND media_id IS NULL",
        image_id,
        url,
        media_id,
    )
    if tag != "UPDATE 1":
        return False
    await connection.execute(
        "UPDATE remote_images SET state = 'FETCHED', failure = NULL, next_try_time = NULL WHERE image_id = $1", image_id
    )
    return True


async def set_failed(
    connection: Connection, claimed: ClaimedImage, failure: FetchFailure, next_try_time: datetime | None
) -> None:
    """Fetching has failed; without another try to come, for good. What somebody else has claimed since stays."""
    await connection.execute(
        "UPDATE remote_images SET state = CASE WHEN $3::timestamptz IS NULL THEN 'FAILED' ELSE 'WAITING' END,"
        " failure = $2, next_try_time = $3 WHERE image_id = $1 AND state = 'WAITING' AND tries = $4",
        claimed.image_id,
        failure.value,
        next_try_time,
        claimed.tries,
    )


async def postpone(connection: Connection, claimed: ClaimedImage, next_try_time: datetime) -> None:
    """It was not tried after all: this server had no time for it."""
    await connection.execute(
        "UPDATE remote_images SET next_try_time = $2, tries = tries - 1"
        " WHERE image_id = $1 AND state = 'WAITING' AND tries = $3",
        claimed.image_id,
        next_try_time,
        claimed.tries,
    )


async def begin_anew(connection: Connection, image_id: UUID, now: datetime) -> None:
    """Fetch a picture once more that could not be fetched; any other stays as it is."""
    await connection.execute(
        "UPDATE remote_images SET state = 'WAITING', failure = NULL, tries = 0, next_try_time = $2"
        " WHERE image_id = $1 AND state = 'FAILED'",
        image_id,
        now,
    )


async def list_page(
    connection: Connection, query: RemoteImageQuery, after: UUID | None, limit: int, *, descending: bool
) -> list[RemoteImage]:
    """The next pictures behind that one. Each seller and state has an index, whose first are merged."""
    arguments = Arguments()
    way, beyond = (" DESC", "<") if descending else ("", ">")
    sources = [f"unnest({arguments.add([state.value for state in query.states or RemoteImageState])}::text[]) s(state)"]
    conditions = ["r.state = s.state"]
    if query.seller_ids is not None:
        sources.append(f"unnest({arguments.add(list(query.seller_ids))}::uuid[]) o(seller_id)")
        conditions.append("r.seller_id = o.seller_id")
    if query.product_ids:
        conditions.append(
            "r.image_id IN (SELECT p.image_id FROM product_images p"
            f" WHERE p.product_id = ANY({arguments.add(list(query.product_ids))}::uuid[]))"
        )
    if after is not None:
        conditions.append(f"r.image_id {beyond} {arguments.add(after)}")
    most = arguments.add(limit)
    rows = await connection.fetch(
        f"WITH page AS (SELECT l.* FROM {' CROSS JOIN '.join(sources)} CROSS JOIN LATERAL ("
        f"SELECT r.* FROM remote_images r WHERE {' AND '.join(conditions)} ORDER BY r.image_id{way} LIMIT {most}) l"
        f" ORDER BY l.image_id{way} LIMIT {most})"
        f" SELECT {_REMOTE.sql} FROM page r JOIN product_images i ON i.image_id = r.image_id ORDER BY r.image_id{way}",
        *arguments,
    )
    return _REMOTE.values(rows)


async def make_room(connection: Connection, product_id: UUID, position: int) -> None:
    """Move the pictures from that place on back by one."""
    await connection.execute(
        "UPDATE product_images SET position = position + 1 WHERE product_id = $1 AND position >= $2",
        product_id,
        position,
    )


async def remove(connection: Connection, product_id: UUID, image_id: UUID) -> None:
    """Delete a picture; those behind it move up."""
    await connection.execute("DELETE FROM product_images WHERE product_id = $1 AND image_id = $2", product_id, image_id)
    await set_order(connection, product_id, ())


async def set_order(connection: Connection, product_id: UUID, image_ids: Sequence[UUID]) -> None:
    """Number the product's pictures: these first and in this order, then the others as they stand."""
    await connection.execute(
        "UPDATE product_images i SET position = n.position FROM ("
        " SELECT p.image_id, row_number() OVER (ORDER BY o.place NULLS LAST, p.position, p.image_id) AS position"
        " FROM product_images p LEFT JOIN unnest($2::uuid[]) WITH ORDINALITY o(image_id, place)"
        " ON o.image_id = p.image_id WHERE p.product_id = $1"
        ") n WHERE i.image_id = n.image_id AND i.position <> n.position",
        product_id,
        list(image_ids),
    )
