"""What people type and what they expect to find first, in a small shop on real Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import asyncpg
import pytest
from marketd.kernel.db.database import Connection
from marketd.kernel.db.transactor import Transactor

from tests.worlds.search_words import Article, WordShop, make_shop

# Each article is of a shop of its own.
_SUSPEND: Final = (
    "INSERT INTO sellers (seller_id, owner_user_id, handle, shop_name, shop_name_key, description, state, contact,"
    " prep_duration, time_zone, opening_hours, approve_time, create_time, update_time)"
    " SELECT d.seller_id, d.seller_id, d.seller_id, d.seller_id, d.seller_id, '', 'SUSPENDED', '{}', '10 minutes',"
    " 'UTC', '[]', now(), now(), now() FROM search_documents d JOIN brands b USING (brand_id) WHERE b.name = $1"
)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection: Connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@dataclass(frozen=True)
class Expected:
    """`first`: a part of the title that stands first; `all_of`: parts that the first ones have, in whatever order."""

    query: str
    first: str = ""
    all_of: tuple[str, ...] = ()
    corrected: str = ""


PLAIN: Final = [
    Expected("tent", "two-person tent"),
    Expected("lamp", all_of=("floor lamp", "desk lamp")),
    Expected("headphones", all_of=("over-ear headphones", "in-ear headphones")),
    Expected("blanket", "wool blanket"),
    Expected("thermos", "thermos flask"),
    Expected("Hortus", all_of=("Watering can 10 l", "Garden hose", "Garden shears", "Tomato", "Bird", "Lawn")),
    # Two words: what has both, what has them side by side, and what is called so before what only mentions them.
    Expected("espresso machine", "espresso machine with milk frother"),
    Expected("night light", "night light for children"),
    Expected("bike lock", "bike lock with two keys"),
    Expected("wireless mouse", "Wireless mouse, silent"),
    Expected("mouse pad", "Mouse pad, extra large"),
    Expected("chess set", "Chess set, walnut"),
    Expected("light bike", "bike light set"),
    # One word or two.
    Expected("head set", all_of=("wireless headset", "gaming headset", "head set holder")),
    Expected("headset", all_of=("wireless headset", "gaming headset", "head set holder")),
    Expected("wi fi speaker", "wifi speaker for the kitchen"),
    Expected("wifi", all_of=("wifi speaker", "Wi-Fi repeater")),
    Expected("tooth brush", all_of=("Toothbrush, bamboo", "Electric toothbrush")),
    Expected("sun screen", "Sunscreen SPF 50"),
    # Codes, however they are written.
    Expected("KB-87-DE", "Mechanical keyboard"),
    Expected("kb87de", "Mechanical keyboard"),
    Expected("bt tag 4", "Bluetooth tracker"),
    Expected("5901234123457", "Mechanical keyboard"),
    Expected("4006381333931", "Bluetooth tracker"),
    Expected("96385074", "Wireless mouse"),
    Expected("Mouse pad, extra large", "Mouse pad, extra large"),
    # Plurals and other forms.
    Expected("tents", "two-person tent"),
    Expected("knives", all_of=("chef's knife", "bread knife", "knife sharpener")),
    Expected("battery", all_of=("Battery charger", "Rechargeable batteries", "Batteries AAA")),
    Expected("hikes boot", all_of=("boots for men", "boots for women")),
    # Accents.
    Expected("creme brulee", "crème brûlée torch"),
    Expected("CAFÉ crème", "café crème coffee beans"),
    Expected("jalapeno", "jalapeño chilli seeds"),
    Expected("double walled glasses", "doüble-walled glasses"),
    # Brand and kind.
    Expected("kestrel keyboard", all_of=("Mechanical keyboard", "Keyboard wrist rest")),
    Expected("lindgard pan", "frying pan"),
    Expected("sonora usb c charger", "USB-C charger 65 W"),
    Expected("velora helmet", all_of=("helmet for adults", "helmet for children")),
    # More than there is: any of the words, the rarest first.
    Expected("walnut chess set with clock", "Chess set, walnut"),
    Expected("green t-shirt", "Cotton T-shirt, green"),
    # Nothing but words that the language passes over.
    Expected("to", "Off to Nowhere"),
    Expected("off and on", "Off to Nowhere"),
    Expected("the batteries", all_of=("Battery charger", "Rechargeable batteries", "Batteries AAA")),
    # A word that nobody has is passed over when there are others.
    Expected("tent xqzjkw", "two-person tent"),
]

TYPOS: Final = {
    "espreso": "espresso",
    "cofee": "coffee",
    "grindr": "grinder",
    "sleping": "sleeping",
    "backpak": "backpack",
    "headphnoes": "headphones",
    "kebyoard": "keyboard",
    "bluetoth": "bluetooth",
    "turntabel": "turntable",
    "moutain": "mountain",
    "helmett": "helmet",
    "cyclign": "cycling",
    "sauceapn": "saucepan",
    "blankt": "blanket",
    "shampo": "shampoo",
    "wateering": "watering",
    "tomatoe": "tomato",
    "chargre": "charger",
    "notbeook": "notebook",
    "vigrin": "virgin",
}

HOSTILE: Final = [
    "&",
    "|",
    "!",
    ":*",
    "tent:*",
    "tent & !pegs | (",
    "<->",
    "tent <-> pegs",
    "'",
    "''",
    "' OR 1=1 --",
    "\\",
    "\\'",
    '"tent"',
    "%",
    "_",
    "%_\\",
    "tent%",
    "(((((",
    "$1",
    "{}",
    "a",
    "a b c d e f g h i j k l m n o p q r s t",
    "😀",
    "👩‍👩‍👧‍👦 tent",
    "帐篷",
    "палатка",
    "خيمة",
    "\u200b",
    "\t\n",
    "e\u0301\u0301\u0301",
    "1e999999",
    "1.2.3.4",
    "../../etc/passwd",
    "http://a.example/?q=tent&b",
    "a@b.example",
    "-" * 256,
    "x" * 3000,
    " ".join(["tent"] * 10_000),
    " ".join(f"word{number}" for number in range(10_000)),
]


async def test_people_find_what_they_expect_first(tx: Transactor, connection: Connection) -> None:
    """And in a moment, all of them together."""
    shop = await make_shop(tx, connection)
    wrong = []
    for expected in PLAIN:
        titles = await shop.titles(expected.query)
        if expected.first and not (titles and expected.first in titles[0]):
            wrong.append(f"{expected.query!r}: {expected.first!r} is not first of {titles[:4]}")
        among = titles[: len(expected.all_of)]
        if missing := [part for part in expected.all_of if not any(part in title for title in among)]:
            wrong.append(f"{expected.query!r}: {missing} not in {among}")
    assert wrong == []


async def test_typos_are_corrected_and_said(tx: Transactor, connection: Connection) -> None:
    """Eighteen of twenty at least; what is right is not corrected, and nonsense finds nothing."""
    shop = await make_shop(tx, connection)
    said = {typo: (await shop.hits(typo)).corrected_query for typo in TYPOS}
    right = [typo for typo, meant in TYPOS.items() if said[typo] == meant]
    assert len(right) >= 18, {typo: said[typo] for typo in TYPOS if typo not in right}
    both = await shop.hits("wireles kebyoard")
    assert both.corrected_query == "wireless keyboard"
    assert both.product_ids
    for known in ("espresso", "head set", "KB-87-DE", "the batteries", "tent xqzjkw"):
        assert (await shop.hits(known)).corrected_query == "", known
    for nonsense in ("xqzjkw", "qqqqqqqq zzzzzzz", "83719283719"):
        hits = await shop.hits(nonsense)
        assert (hits.product_ids, hits.matching.nothing) == ((), True), nonsense


async def test_what_is_in_stock_stands_before_what_is_not(tx: Transactor, connection: Connection) -> None:
    shop = await make_shop(tx, connection)
    assert await shop.titles("watering can") == ["Watering can 10 l", "Watering can 5 l"]
    # Somebody who names it exactly means it.
    assert (await shop.titles("Watering can 5 l"))[0] == "Watering can 5 l"
    assert await shop.titles("watering can", in_stock=True) == ["Watering can 10 l"]


async def test_what_sells_stands_first_among_likes_and_only_there(tx: Transactor, connection: Connection) -> None:
    shop = await make_shop(tx, connection)
    await connection.execute(
        "UPDATE search_documents SET popularity = 100"
        " WHERE title_key IN ('cotton t-shirt, red', 'mouse pad, extra large')"
    )
    assert (await shop.titles("cotton t-shirt"))[0] == "Cotton T-shirt, red"
    assert (await shop.titles("wireless mouse"))[0] == "Wireless mouse, silent"


async def test_hostile_queries_are_words_or_nothing(tx: Transactor, connection: Connection) -> None:
    """No operator, quote or pattern means anything, and none takes long."""
    shop = await make_shop(tx, connection)
    for query in HOSTILE:
        hits = await shop.hits(query)
        await shop.suggested(query)
        if "tent" in query:
            assert "tent" in shop.articles[hits.product_ids[0]].title, query
    assert await shop.titles("tent & !pegs | (") == await shop.titles("tent pegs")
    assert max([await shop.milliseconds(query) for query in HOSTILE[-2:]]) < 500


async def test_pages_of_relevance_hang_together(tx: Transactor, connection: Connection) -> None:
    shop = await make_shop(tx, connection)
    whole = await shop.titles("black", limit=100)
    pages = []
    for offset in range(0, len(whole) + 3, 3):
        hits = await shop.page("black", offset=offset, limit=3)
        pages += [shop.articles[product_id].title for product_id in hits.product_ids]
        assert hits.has_more is (offset + 3 < len(whole))
    assert pages == whole


async def test_suggestions_go_on_as_the_shop_does(tx: Transactor, connection: Connection) -> None:
    shop = await make_shop(tx, connection)
    words, titles = await shop.suggested("headp")
    assert words == ["headphones"]
    assert set(titles) == {"Sonora over-ear headphones, noise cancelling", "Sonora in-ear headphones, wired"}
    assert {"bike lock", "bike light"} <= set((await shop.suggested("bike l"))[0])
    assert (await shop.suggested("wireless m"))[0][0] in ("wireless mouse", "wireless microphone")
    # A slip in the word that is typed, and in one before it.
    assert (await shop.suggested("kebyo"))[0] == ["keyboard"]
    assert (await shop.suggested("bluetoth spea"))[0] == ["bluetooth speaker"]
    # A title from its beginning, whatever words go on.
    assert (await shop.suggested("chess set, w"))[1][0] == "Chess set, walnut"
    assert await shop.suggested("xqzjkw") == ([], [])
    assert await shop.suggested("") == ([], [])
    words, titles = await shop.suggested("b", limit=4)
    assert len(words) == 2
    assert titles == []


async def test_words_of_shops_that_do_not_sell_are_named_to_nobody(tx: Transactor, connection: Connection) -> None:
    shop = await make_shop(tx, connection)
    assert (await shop.hits("turntible")).corrected_query == "turntable"
    assert (await shop.suggested("turnt"))[0] == ["turntable"]
    assert (await shop.suggested("bank"))[0] == ["bank"]
    assert "wireless headset" in (await shop.suggested("wireless h"))[0]
    assert (await shop.hits("BT-TAG/4")).matching.article_number == "bttag4"
    await connection.execute(_SUSPEND, "Sonora")
    # As if there were none: neither is it said what nobody typed, nor does it stand before what can be had.
    assert (await shop.hits("turntible")).corrected_query == ""
    assert await shop.suggested("turnt") == ([], [])
    assert "baking" in (await shop.suggested("bank"))[0]
    assert "wireless headset" not in (await shop.suggested("wireless h"))[0]
    assert (await shop.hits("heatset")).corrected_query != "headset"
    assert (await shop.hits("BT-TAG/4")).matching.article_number == ""
    assert (await shop.hits("wireles")).corrected_query == "wireless"
    assert (await shop.suggested("wirel"))[0] == ["wireless"]


async def test_another_language_has_its_own_forms(tx: Transactor, connection: Connection) -> None:
    shop = WordShop(connection)
    german = [
        "Kaffeebecher aus Porzellan",
        "Wollene Decken für Kinder",
        "Bücherregal, weiß",
        "Fahrradschläuche 28 Zoll",
    ]
    articles = [Article(title) for title in german]
    await tx.run("test.german", lambda uow: shop.add(uow, articles, language="german"))
    assert await shop.titles("Decke") == ["Wollene Decken für Kinder"]
    assert await shop.titles("decke für das kind") == ["Wollene Decken für Kinder"]
    assert await shop.titles("bucherregale weiss") == ["Bücherregal, weiß"]
    assert await shop.titles("kaffee becher") == ["Kaffeebecher aus Porzellan"]
    assert (await shop.hits("Porzelan")).corrected_query == "porzellan"
