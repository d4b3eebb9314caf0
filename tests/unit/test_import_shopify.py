"""The rows of a Shopify product: what becomes of them, what is told, and what alone refuses a product."""

from __future__ import annotations

import time
from importlib import resources

import pytest
from marketd.catalog.imports.parsed import RowReason
from marketd.catalog.model import ProductState
from marketd.inventory.model import StockPolicy

from tests.worlds.product_files import COLUMNS, product, read, row, shopify, size, table_of


def test_one_product_is_all_rows_of_a_handle_wherever_they_stand() -> None:
    found = read(
        shopify(
            size("S", tags="b, a ,b", vendor="V", type="T", bodyhtml="<p>x<script>y</script></p>"),
            product("mug"),
            row("CUP ", option1value="M", price="5", inventoryqty="3"),
            row(imagesrc="https://x.y/2.jpg", imageposition="2", imagealttext="two"),
            row(imagesrc="https://x.y/1.jpg", imageposition="1"),
        )
    )
    assert (found.errors, found.warnings, found.rows) == ([], [], 5)
    cup, mug = found.products
    assert (cup.handle, cup.title, cup.vendor, cup.category, cup.tags) == ("cup", "Cup", "V", "T", ("a", "b"))
    assert (cup.description, cup.option_names, cup.rows) == ("<p>x</p>", ("Size",), (2, 4, 5, 6))
    assert [(one.options, one.price_minor, one.quantity, one.row) for one in cup.variants] == [
        ((("Size", "S"),), 450, None, 2),
        ((("Size", "M"),), 500, 3, 4),
    ]
    assert [(image.url, image.alt_text) for image in cup.images] == [
        ("https://x.y/1.jpg", ""),
        ("https://x.y/2.jpg", "two"),
    ]
    assert (mug.option_names, mug.variants[0].options, mug.attributes) == ((), (), ())


def test_the_row_with_the_title_is_the_first_and_may_sell_nothing_itself() -> None:
    found = read(
        shopify(
            row(option1value="S", price="1"),
            row(title="Cup", option1name="Size", imagesrc="https://x.y/1.jpg"),
            row(option1value="M", price="2"),
        )
    )
    assert [(dict(one.options), one.price_minor) for one in found.product.variants] == [
        ({"Size": "S"}, 100),
        ({"Size": "M"}, 200),
    ]
    assert found.warnings == []


@pytest.mark.parametrize(
    ("handle", "key"),
    [
        ("Big-CUP", "big-cup"),
        (" two  words ", "two words"),
        ("cafe\u0301-müsli", "café-müsli"),
        ("cup\u202e\0", "cup"),
        ("緑茶", "緑茶"),
    ],
)
def test_handles_are_compared_as_people_read_them(handle: str, key: str) -> None:
    assert read(shopify(product(handle, title="Cup"))).product.handle == key


def test_long_handles_are_cut_and_stay_apart() -> None:
    long = "x" * 300
    first, second = read(shopify(product(f"{long}-1", title="a"), product(f"{long}-2", title="b"))).products
    assert first.handle != second.handle
    assert len(first.handle) <= 255


def test_rows_without_a_handle_belong_to_the_row_above_or_begin_a_product_by_their_title() -> None:
    found = read(
        shopify(
            row("", option1value="M", price="1"),
            size("S", "cup"),
            row("", option1value="M", price="5"),
            product("", title="Großer Krug"),
            row("", imagesrc="https://x.y/1.jpg"),
        )
    )
    assert [(one.handle, one.rows) for one in found.products] == [("cup", (3, 4)), ("grosser-krug", (5, 6))]
    assert found.refused == [(2, "", RowReason.MALFORMED_ROW)]
    assert found.told == [(number, "Handle", RowReason.MISSING_VALUE) for number in (4, 5, 6)]


@pytest.mark.parametrize(
    ("status", "published", "state", "told"),
    [
        ("", "", ProductState.PUBLISHED, ""),
        ("active", "TRUE", ProductState.PUBLISHED, ""),
        ("Active", "false", ProductState.DRAFT, ""),
        ("draft", "true", ProductState.DRAFT, ""),
        ("archived", "false", ProductState.ARCHIVED, ""),
        ("ARCHIVED", "true", ProductState.ARCHIVED, ""),
        ("unlisted", "true", ProductState.DRAFT, "Status"),
        ("soon", "", ProductState.DRAFT, "Status"),
        ("active", "perhaps", ProductState.PUBLISHED, "Published"),
        ("active", "Falsch", ProductState.DRAFT, ""),
        ("active", "0", ProductState.DRAFT, ""),
    ],
)
def test_the_state_is_what_status_and_published_say(
    status: str, published: str, state: ProductState, told: str
) -> None:
    found = read(shopify(product(status=status, published=published)))
    assert found.product.state is state
    assert [column for _, column, _ in found.told] == ([told] if told else [])


@pytest.mark.parametrize(
    ("tracker", "quantity", "policy", "expected"),
    [
        ("shopify", "3", "deny", (3, StockPolicy.TRACKED)),
        ("shopify", "0", "continue", (0, StockPolicy.CONTINUE)),
        ("shopify", "", "TRUE", (None, StockPolicy.CONTINUE)),
        ("amazon_marketplace_web", "1", "", (1, StockPolicy.TRACKED)),
        ("", "7", "deny", (7, StockPolicy.UNTRACKED)),
        ("None", "7", "deny", (7, StockPolicy.UNTRACKED)),
        ("", "", "continue", (None, StockPolicy.UNTRACKED)),
        (None, "7", "deny", (7, StockPolicy.TRACKED)),
        (None, "7", "continue", (7, StockPolicy.CONTINUE)),
        (None, "", "continue", (None, StockPolicy.UNTRACKED)),
    ],
)
def test_who_is_sold_beyond_the_stock_follows_tracker_and_policy(
    tracker: str | None, quantity: str, policy: str, expected: tuple[int | None, StockPolicy]
) -> None:
    columns = [name for name in COLUMNS if tracker is not None or name != "Variant Inventory Tracker"]
    cells = product(inventorytracker=tracker or "", inventoryqty=quantity, inventorypolicy=policy)
    found = read(table_of(columns, cells).encode())
    assert (found.variant.quantity, found.variant.policy) == expected
    assert found.warnings == []


def test_goods_may_need_no_shipping_and_gift_cards_are_refused() -> None:
    found = read(
        shopify(
            product("a", requiresshipping="false"),
            product("b", requiresshipping=""),
            product("c", requiresshipping="maybe", giftcard="?"),
            product("d", giftcard="TRUE"),
            row("d", option1value="50", price="50"),
        )
    )
    assert [one.variants[0].requires_shipping for one in found.products] == [False, True, True]
    assert found.refused == [(5, "Gift Card", RowReason.GIFT_CARD), (6, "", RowReason.PRODUCT_REJECTED)]
    assert [column for _, column, _ in found.told] == ["Gift Card", "Variant Requires Shipping"]


def test_a_product_of_which_no_variant_has_a_price_is_a_draft() -> None:
    rows = (product("new", price=""), product("old", price="", status="archived"))
    found = read(shopify(size("S"), row(option1value="M"), *rows))
    cup, new, old = found.products
    assert ([one.price_minor for one in cup.variants], cup.state) == ([450, None], ProductState.PUBLISHED)
    assert (new.state, old.state) == (ProductState.DRAFT, ProductState.ARCHIVED)
    assert found.told == [(number, "Variant Price", RowReason.MISSING_VALUE) for number in (3, 4, 5)]


@pytest.mark.parametrize(
    ("former", "minor", "reason"),
    [
        ("5", 500, None),
        ("5.0084999999999", 501, RowReason.INVALID_VALUE),
        ("4.50", None, RowReason.NOT_ABOVE_PRICE),
        ("0", None, RowReason.NOT_ABOVE_PRICE),
        ("1", None, RowReason.NOT_ABOVE_PRICE),
        ("-1", None, RowReason.OUT_OF_RANGE),
        ("high", None, RowReason.INVALID_VALUE),
    ],
)
def test_only_a_higher_price_is_crossed_out(former: str, minor: int | None, reason: RowReason | None) -> None:
    found = read(shopify(product(compareatprice=former)))
    assert found.variant.compare_at_price_minor == minor
    assert [one for _, _, one in found.told] == ([reason] if reason else [])


def test_a_sku_stays_with_the_first_of_those_who_have_it() -> None:
    found = read(
        shopify(
            size("S", sku="a-1"),
            row(option1value="M", price="1", sku="A-1"),
            product("mug", sku=" a-1"),
            product("pot", sku="'007"),
            product("pan", sku="B", price="free"),
            product("lid", sku="B"),
        )
    )
    skus = [one.sku for found_product in found.products for one in found_product.variants]
    assert skus == ["a-1", "", "", "007", "B"], "a refused product keeps none"
    assert found.told == [(number, "Variant SKU", RowReason.DUPLICATE_SKU) for number in (3, 4)]


def test_pictures_come_once_in_order_and_bad_addresses_cost_only_themselves() -> None:
    found = read(
        shopify(
            size("S", imagesrc="//cdn.example/1 a.jpg", imageposition="5.0", variantimage="https://x.y/v.jpg"),
            row(option1value="M", price="1", variantimage="https://x.y/2.jpg"),
            row(imagesrc="https://x.y/2.jpg; https://x.y/3.jpg", imageposition="1", imagealttext="t" * 600),
            row(imagesrc="https://x.y/2.jpg", imageposition="x"),
            row(imagesrc="http://x.y/4.jpg"),
            row(imagesrc="ftp://x.y/5.jpg"),
            row(imagesrc="javascript:x()"),
            row(imagesrc="https://x.y/" + "z" * 2048),
        )
    )
    assert [image.url for image in found.product.images] == [
        "https://x.y/2.jpg",
        "https://x.y/3.jpg",
        "https://x.y/4.jpg",
        "https://cdn.example/1%20a.jpg",
        "https://x.y/v.jpg",
    ]
    assert [one.image_url for one in found.product.variants] == ["https://x.y/v.jpg", "https://x.y/2.jpg"]
    assert len(found.product.images[0].alt_text) == 512
    assert [(number, column) for number, column, _ in found.told] == [
        (4, "Image Alt Text"), (6, "Image Src"), (7, "Image Src"), (8, "Image Src"), (9, "Image Src"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "column", "reason", "kept"),
    [
        ({"title": "x" * 300}, "Title", RowReason.TOO_LONG, lambda one: len(one.title) == 255),
        ({"vendor": "x" * 130}, "Vendor", RowReason.TOO_LONG, lambda one: len(one.vendor) == 120),
        ({"type": "x" * 130}, "Type", RowReason.TOO_LONG, lambda one: len(one.category) == 120),
        ({"bodyhtml": "x" * 70_000}, "Body (HTML)", RowReason.TOO_LONG, lambda one: len(one.description) > 60_000),
        ({"tags": "a," + "b" * 256}, "Tags", RowReason.TOO_LONG, lambda one: one.tags == ("a",)),
        ({"tags": ",".join(map(str, range(300)))}, "Tags", RowReason.TOO_LONG, lambda one: len(one.tags) == 250),
        ({"sku": "x" * 256}, "Variant SKU", RowReason.TOO_LONG, lambda one: one.variants[0].sku == ""),
        ({"barcode": "x" * 65}, "Variant Barcode", RowReason.TOO_LONG, lambda one: one.variants[0].barcode == ""),
        ({"barcode": "4.0E+12"}, "Variant Barcode", RowReason.INVALID_VALUE, lambda one: not one.variants[0].barcode),
        ({"inventorytracker": "shopify", "inventorypolicy": "?"}, "Variant Inventory Policy", RowReason.INVALID_VALUE,
         lambda one: one.variants[0].policy is StockPolicy.TRACKED),
        ({"bodyhtml": "<p>a</p><iframe src='https://v.example'></iframe>"}, "Body (HTML)", RowReason.CONTENT_DROPPED,
         lambda one: one.description == "<p>a</p>"),
    ],
)  # fmt: skip
def test_what_is_beside_the_point_costs_itself_and_is_told(
    cells: dict[str, str], column: str, reason: RowReason, kept: object
) -> None:
    found = read(shopify(product(**cells)))
    assert found.told == [(2, column, reason)]
    assert callable(kept)
    assert kept(found.product)


def test_a_long_body_stays_whole_html_when_it_is_cut() -> None:
    found = read(shopify(product(bodyhtml="<ul>" + "<li>one <b>two</b></li>" * 5000 + "</ul>")))
    assert found.product.description.endswith("</ul>")
    assert len(found.product.description) <= 65536


def test_markup_that_fits_when_it_is_cleaned_is_not_cut() -> None:
    found = read(shopify(product(bodyhtml="<p style='" + "color:red;" * 20_000 + "'>short</p>")))
    assert (found.product.description, found.warnings) == ("<p>short</p>", [])


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ({"title": ""}, "Title", RowReason.MISSING_VALUE),
        ({"title": "\u200b"}, "Title", RowReason.MISSING_VALUE),
        ({"price": "free"}, "Variant Price", RowReason.INVALID_VALUE),
        ({"price": "-1"}, "Variant Price", RowReason.OUT_OF_RANGE),
        ({"option1name": "Size", "option1value": "x" * 256}, "Option1 Value", RowReason.TOO_LONG),
    ],
)
def test_what_is_sold_must_be_known(cells: dict[str, str], column: str, reason: RowReason) -> None:
    assert (2, column, reason) in read(shopify(product(**cells))).refused


def test_a_refused_product_accounts_for_each_of_its_rows() -> None:
    found = read(
        shopify(
            size("S"),
            row(option1value="M", price="free"),
            row(imagesrc="https://x.y/1.jpg"),
            product("mug", compareatprice="1"),
        )
    )
    assert [one.handle for one in found.products] == ["mug"]
    assert found.refused == [
        (2, "", RowReason.PRODUCT_REJECTED),
        (3, "Variant Price", RowReason.INVALID_VALUE),
        (4, "", RowReason.PRODUCT_REJECTED),
    ]
    assert [number for number, _, _ in found.told] == [5], "what of a refused product is told is why it is refused"


def test_a_product_has_as_many_variants_as_shops_let_it_have() -> None:
    rows = [size("0"), *(row(option1value=str(number), price="1") for number in range(1, 2_049))]
    assert len(read(shopify(*rows[:2_048])).product.variants) == 2_048
    assert read(shopify(*rows)).refused[0] == (2, "", RowReason.TOO_LONG)


def test_a_product_of_many_rows_is_read_in_time() -> None:
    rows = [size("0"), *(row(option1value=str(number), price="1") for number in range(1, 5_000))]
    begin = time.process_time()
    assert len(read(shopify(*rows)).errors) == 5_000
    assert time.process_time() - begin < 2


def test_the_demo_file_is_whole_and_has_three_shops() -> None:
    data = resources.files("marketd.demo.data").joinpath("products.csv").read_bytes()
    found = read(data)
    assert (len(found.products), found.errors) == (24, [])
    assert len({one.vendor for one in found.products}) == 3
