"""A small shop with a bit of everything, to search in by words: what people sell and how they write it.

Its documents are made as everywhere else, out of rows of the catalog; only those rows are written straight.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from marketd.catalog.names import title_key
from marketd.catalog.search import documents, find, suggest, words
from marketd.catalog.search.values import Hits, SearchQuery
from marketd.kernel.db.database import Connection
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.events.events import to_json
from marketd.kernel.values.ids import new_id


@dataclass(frozen=True)
class Article:
    """A product of the shop; its id is made with it."""

    title: str
    brand: str = ""
    sku: str = ""
    barcode: str = ""
    description: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    in_stock: bool = True
    product_id: UUID = field(default_factory=new_id)


def _each(brand: str, *titles: str) -> list[Article]:
    return [Article(f"{brand} {title}", brand) for title in titles]


_COLORS: Final = ("Black", "White", "Green", "Red", "Blue")
ARTICLES: Final = [
    *_each(
        "Aurelio",
        "espresso machine with milk frother",
        "coffee grinder, conical burr",
        "moka pot for 6 cups",
        "milk jug 0.6 l stainless steel",
        "descaler for espresso machines, 2 x 250 ml",
        "café crème coffee beans 1 kg",
        "coffee filter papers size 4",
        "thermos flask 750 ml",
    ),
    *_each(
        "Northpeak",
        "two-person tent, waterproof",
        "tent pegs, pack of 12",
        "down sleeping bag, down to -5 degrees",
        "sleeping mat, self-inflating",
        "hiking boots for men",
        "hiking boots for women",
        "trekking poles, pair",
        "head torch 300 lumens, rechargeable",
        "camping stove with piezo ignition",
        "rain jacket, men's",
        "dry bag 20 l",
        "backpack 45 l with rain cover",
    ),
    *_each(
        "Sonora",
        "wireless headset with microphone",
        "gaming headset for consoles",
        "head set holder for desks",
        "over-ear headphones, noise cancelling",
        "in-ear headphones, wired",
        "bluetooth speaker, splash-proof",
        "bookshelf speakers, pair",
        "wifi speaker for the kitchen",
        "Wi-Fi repeater 1200",
        "USB-C charger 65 W",
        "USB-C cable 2 m",
        "power bank 10000 mAh",
        "turntable with preamplifier",
    ),
    *_each(
        "Lindgård",
        "crème brûlée torch",
        "chef's knife 20 cm",
        "bread knife, serrated",
        "knife sharpener",
        "frying pan 28 cm, non-stick",
        "saucepan 2 l with lid",
        "cast iron casserole 4.5 l",
        "baking tray, set of 2",
        "jalapeño chilli seeds",
        "doüble-walled glasses, 4 pieces",
    ),
    *_each(
        "Velora",
        "city bike 28 inch",
        "mountain bike 29 inch",
        "kids' bike 16 inch",
        "bike lock with two keys",
        "bike light set, front and rear",
        "bike pump with gauge",
        "bicycle bell",
        "cycling gloves",
        "bike helmet for adults",
        "bike helmet for children",
    ),
    *_each(
        "Tindra",
        "night light for children",
        "floor lamp with dimmer",
        "desk lamp, bendable",
        "LED bulb E27, warm white",
        "string lights 10 m, outdoor",
        "lampshade, linen",
        "wall clock, silent",
        "picture frame 30 x 40 cm",
        "scented candle, cedar",
        "wool blanket 130 x 180 cm",
    ),
    Article("Bluetooth tracker tag", "Sonora", "BT-TAG/4", "4006381333931", attributes={"Connection": "Bluetooth"}),
    Article("Mechanical keyboard 87 keys", "Kestrel", "KB-87-DE", "5901234123457", tags=("peripherals",)),
    Article("Keyboard wrist rest, foam", "Kestrel", "WR 100"),
    Article("Wireless mouse, silent", "Kestrel", "MS220W", "96385074"),
    Article("Mouse pad, extra large", "Kestrel", "MP900XL", description="For a keyboard and a wireless mouse."),
    Article("Laptop stand, aluminium", "Kestrel", "LS-1"),
    Article("Laptop sleeve 14 inch", "Kestrel", "SL14"),
    Article("Playing cards, two decks", "Ludo & Co"),
    Article("Chess set, walnut", "Ludo & Co", description="A chess board with a set of 32 pieces."),
    Article("Jigsaw puzzle, 1000 pieces", "Ludo & Co"),
    Article("Off to Nowhere, party game", "Ludo & Co"),
    Article("Toothbrush, bamboo", "Mossa", in_stock=True),
    Article("Electric toothbrush with travel case", "Mossa"),
    Article("Shampoo bar, rosemary", "Mossa"),
    Article("Sunscreen SPF 50", "Mossa", attributes={"Skin": "Sensitive"}),
    Article("Watering can 5 l", "Hortus", in_stock=False),
    Article("Watering can 10 l", "Hortus"),
    Article("Garden hose 25 m", "Hortus"),
    Article("Garden shears", "Hortus"),
    Article("Tomato seeds, organic", "Hortus"),
    Article("Bird feeder, hanging", "Hortus"),
    Article("Lawn mower, cordless", "Hortus", description="Runs on two batteries, which come with it."),
    Article("Rechargeable batteries AA, 8 pieces", "Voltique", "AA-8"),
    Article("Batteries AAA, 12 pieces", "Voltique", "AAA-12"),
    Article("Battery charger for AA and AAA", "Voltique"),
    Article("Button cell CR2032, 5 pieces", "Voltique", "CR2032-5"),
    Article("Power strip, 6 sockets", "Voltique"),
    *(Article(f"Cotton T-shirt, {color.lower()}", "Basico", attributes={"Color": color}) for color in _COLORS),
    *(Article(f"Merino socks, {color.lower()}", "Basico", attributes={"Color": color}) for color in _COLORS),
    *(Article(f"Notebook A5 dotted, {color.lower()}", "Scriva", attributes={"Color": color}) for color in _COLORS),
    *(Article(f"Fountain pen, {color.lower()}", "Scriva", attributes={"Color": color}) for color in _COLORS),
    *(
        Article(f"Ink cartridges {color.lower()}, 10 pieces", "Scriva", attributes={"Color": color})
        for color in _COLORS
    ),
    *(Article(f"Yoga mat {size} mm", "Asana", attributes={"Thickness": f"{size} mm"}) for size in (3, 4, 6, 8)),
    *(Article(f"Dumbbell {weight} kg, vinyl", "Asana") for weight in (1, 2, 3, 5, 8, 10)),
    *(Article(f"Dog collar, size {size}", "Fido") for size in ("S", "M", "L")),
    *(Article(f"Dry food for cats, {kind} {size} kg", "Felis") for kind in ("salmon", "chicken") for size in (1, 4)),
    *(Article(f"Olive oil, extra virgin {size} ml", "Oliveto") for size in (250, 500, 750)),
    *(Article(f"Green tea, loose, {size} g", "Camellia") for size in (50, 100, 250)),
    *(Article(f"Photo book {size} cm, 40 pages", "Scriva") for size in (20, 30)),
]


@dataclass
class WordShop:
    """The shop in the database, and what is asked of it."""

    connection: Connection
    articles: dict[UUID, Article] = field(default_factory=dict)

    async def add(self, uow: UnitOfWork, articles: list[Article], *, language: str = "english") -> WordShop:
        """Put articles in, with their documents and the counts of their words."""
        await uow.connection.execute("UPDATE search_state SET language = $1", language)
        rows = [
            {**_row(article), "number": number, "seller_id": new_id()}
            for number, article in enumerate(articles, start=1)
        ]
        for statement in _STATEMENTS:
            await uow.connection.execute(statement, to_json(rows))
        await documents.write_documents(uow.connection, [article.product_id for article in articles])
        while await words.count(uow.connection):
            pass
        self.articles |= {article.product_id: article for article in articles}
        return self

    async def hits(self, text: str, *, limit: int = 10, **filters: Any) -> Hits:
        """What a search finds."""
        unit = self._unit()
        return await find.find(unit, replace(SearchQuery(text), **filters), offset=0, limit=limit)

    async def page(self, text: str, *, offset: int, limit: int) -> Hits:
        """A further page of it."""
        unit = self._unit()
        return await find.find(unit, SearchQuery(text), offset=offset, limit=limit)

    async def titles(self, text: str, *, limit: int = 10, **filters: Any) -> list[str]:
        """What it is called."""
        hits = await self.hits(text, limit=limit, **filters)
        return [self.articles[product_id].title for product_id in hits.product_ids]

    async def suggested(self, text: str, limit: int = 10) -> tuple[list[str], list[str]]:
        """The words that are suggested, and the titles of products."""
        found = await suggest.suggest(self._unit(), text, limit)
        texts = [each.text for each in found if each.product_id is None]
        return texts, [each.text for each in found if each.product_id is not None]

    def _unit(self) -> ReadUnit:
        return ReadUnit(self.connection, datetime.now(UTC))

    async def milliseconds(self, text: str) -> float:
        """How long a search takes, the best of three."""
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            await self.hits(text)
            times.append(time.perf_counter() - begun)
        return min(times) * 1000


async def make_shop(tx: Transactor, connection: Connection, articles: list[Article] | None = None) -> WordShop:
    """The whole shop, committed."""
    shop = WordShop(connection)
    await tx.run("test.word_shop", lambda uow: shop.add(uow, ARTICLES if articles is None else articles))
    return shop


def _row(article: Article) -> dict[str, Any]:
    return {
        "product_id": article.product_id,
        "title": article.title,
        "title_key": title_key(article.title),
        "brand": article.brand,
        "sku": article.sku,
        "barcode": article.barcode,
        "description": article.description,
        "attributes": article.attributes,
        "tags": list(article.tags),
        "on_hand": 5 if article.in_stock else 0,
    }


_ROWS: Final = (
    "jsonb_to_recordset($1::jsonb) AS r(product_id uuid, seller_id uuid, number int, title text, title_key text,"
    " brand text, sku text, barcode text, description text, attributes jsonb, tags text[], on_hand int)"
)
_STATEMENTS: Final = (
    "INSERT INTO brands (brand_id, name, name_key, slug, description, version, create_time, update_time)"
    " SELECT gen_random_uuid(), brand, lower(brand), lower(brand), '', 1, now(), now()"
    f" FROM {_ROWS} WHERE brand <> '' GROUP BY brand ON CONFLICT DO NOTHING",
    "INSERT INTO products (product_id, seller_id, handle, slug, title, title_key, description, brand_id, tags,"
    " attributes, option_names, currency, price_minor, state, version, publish_time, create_time, update_time)"
    " SELECT product_id, seller_id, product_id, product_id, title, title_key, r.description, b.brand_id, r.tags,"
    " r.attributes, '{}', 'EUR', 1000 + number, 'PUBLISHED', 1, now(), now(), now()"
    f" FROM {_ROWS} LEFT JOIN brands b ON b.name = r.brand",
    "INSERT INTO variants (variant_id, product_id, seller_id, sku, sku_key, options, options_key, price_minor, active,"
    " barcode, weight_grams, position, version, create_time, update_time)"
    " SELECT gen_random_uuid(), product_id, seller_id, sku, lower(sku), '[]', '', 1000, true, barcode, 0, 1, 1, now(),"
    f" now() FROM {_ROWS}",
    "INSERT INTO stocks (variant_id, seller_id, policy, on_hand, reserved, version, create_time, update_time)"
    " SELECT v.variant_id, v.seller_id, 'TRACKED', r.on_hand, 0, 1, now(), now()"
    f" FROM {_ROWS} JOIN variants v USING (product_id)",
)
