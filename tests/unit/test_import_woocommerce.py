"""WooCommerce files: products and their variations, and what is told where the two shops differ."""

from __future__ import annotations

import pytest
from marketd.catalog.imports.header import FileFormat
from marketd.catalog.imports.parsed import RowReason
from marketd.catalog.model import ProductState
from marketd.inventory.model import StockPolicy

from tests.worlds.product_files import read, table_of

COLUMNS = (
    "ID", "Type", "SKU", "GTIN, UPC, EAN, or ISBN", "Name", "Published", "Is featured?", "Short description",
    "Description", "Date sale price starts", "Date sale price ends", "In stock?", "Stock", "Backorders allowed?",
    "Weight (kg)", "Sale price", "Regular price", "Categories", "Tags", "Images", "Parent", "Brands",
    "Attribute 1 name", "Attribute 1 value(s)", "Attribute 1 visible", "Attribute 2 name", "Attribute 2 value(s)",
)  # fmt: skip


def woo(*rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> bytes:
    """A file with these cells."""
    return table_of(columns, *rows).encode("utf-8-sig")


def simple(number: str = "1", **cells: str) -> dict[str, str]:
    """A product of one kind; columns without what is not a letter, in small letters."""
    return _row(
        {"ID": number, "Type": "simple", "Name": "Cup", "Published": "1", "In stock?": "1", "Regular price": "20"},
        cells,
    )


def variation(number: str, parent: str, **cells: str) -> dict[str, str]:
    """A variation."""
    return _row(
        {"ID": number, "Type": "variation", "Name": "-", "Published": "1", "In stock?": "1", "Parent": parent}, cells
    )


def _row(base: dict[str, str], cells: dict[str, str]) -> dict[str, str]:
    names = {"".join(char for char in name.lower() if char.isalnum()): name for name in COLUMNS}
    return base | {names[name]: value for name, value in cells.items()}


def shirt(number: str = "10", **cells: str) -> dict[str, str]:
    """A product of several kinds."""
    given = {
        "attribute1name": "Size",
        "attribute1values": "S, M",
        "attribute2name": "Fabric",
        "attribute2values": "Wool",
    }
    return simple(number, type="variable", name="Shirt", regularprice="", **(given | cells))


def test_a_simple_product_has_all_that_maps() -> None:
    found = read(
        woo(
            simple(
                sku="C-1", gtinupceanorisbn="4006381333931", shortdescription="<b>Fine</b>",
                description="One\\nTwo \\\\n", stock="4", backordersallowed="notify", weightkg=".8", saleprice="18",
                categories="Home > Cups", tags="b, a", images="https://x.y/1.jpg, https://x.y/2.jpg", brands="Acme",
                attribute1name="Colour", attribute1values="Red\\, matt",
            )
        )
    )  # fmt: skip
    cup, variant = found.product, found.variant
    assert found.layout.format is FileFormat.WOOCOMMERCE
    assert (found.errors, found.warnings) == ([], [])
    assert (cup.handle, cup.slug_from, cup.title, cup.category) == ("c-1", "Cup", "Cup", "Cups")
    assert (cup.description, cup.tags, cup.vendor) == ("<b>Fine</b>\nOne\nTwo \\n", ("a", "b"), "Acme")
    assert (cup.attributes, cup.option_names) == ((("Colour", "Red, matt"),), ())
    assert (variant.sku, variant.barcode, variant.price_minor, variant.compare_at_price_minor) == (
        "C-1", "4006381333931", 1800, 2000,
    )  # fmt: skip
    assert (variant.quantity, variant.policy, variant.weight_grams) == (4, StockPolicy.CONTINUE, 800)
    assert [image.url for image in cup.images] == ["https://x.y/1.jpg", "https://x.y/2.jpg"]
    assert found.unused == {}


@pytest.mark.parametrize(("sku", "parent"), [("SH", "SH"), ("SH", "id:10"), ("", "id:10"), ("sh", " SH")])
def test_variations_find_their_product_by_sku_or_id(sku: str, parent: str) -> None:
    found = read(
        woo(
            shirt(sku=sku, images="https://x.y/1.jpg"),
            simple("11", sku="OTHER"),
            variation("12", parent, attribute1name="size", attribute1values="S", regularprice="20", sku="SH-S"),
            variation(
                "13", parent, attribute1name="Size", attribute1values="M", regularprice="25", saleprice="22",
                images="https://x.y/2.jpg",
            ),
        )
    )  # fmt: skip
    one = found.products[0]
    assert one.rows == (2, 4, 5)
    assert [
        (tuple(item.options), item.price_minor, item.compare_at_price_minor, item.sku) for item in one.variants
    ] == [
        ((("size", "S"),), 2000, None, "SH-S"),
        ((("size", "M"),), 2200, 2500, ""),
    ]
    assert one.attributes == (("Fabric", "Wool"),), "what no variation chooses is no option"
    assert [image.url for image in one.images] == ["https://x.y/1.jpg", "https://x.y/2.jpg"]
    assert found.errors == []


def test_what_has_no_like_here_is_told() -> None:
    found = read(
        woo(
            shirt(categories="Wear > Shirts, Sale", stock="9"),
            variation("11", "id:10", attribute1name="Size", attribute1values="", regularprice="20", stock="parent"),
            variation("12", "id:10", attribute1name="Size", attribute1values="M", regularprice="20", stock="parent"),
            simple("13", saleprice="15", datesalepriceends="2026-01-01"),
        )
    )
    one, other = found.products
    assert [(dict(item.options), item.quantity) for item in one.variants] == [({"Size": "Any"}, 9), ({"Size": "M"}, 0)]
    assert (one.category, other.variants[0].price_minor) == ("Shirts", 2000)
    assert found.told == [
        (2, "Categories", RowReason.CONTENT_DROPPED),
        (3, "Attribute 1 value(s)", RowReason.MISSING_VALUE),
        (4, "Stock", RowReason.CONTENT_DROPPED),
        (5, "Sale price", RowReason.CONTENT_DROPPED),
    ]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({}, (None, StockPolicy.UNTRACKED)),
        ({"instock": "0"}, (0, StockPolicy.TRACKED)),
        ({"stock": "5", "backordersallowed": "0"}, (5, StockPolicy.TRACKED)),
        ({"stock": "5.00"}, (5, StockPolicy.TRACKED)),
        ({"stock": "0", "backordersallowed": "1"}, (0, StockPolicy.CONTINUE)),
        ({"stock": "-7"}, (0, StockPolicy.TRACKED)),
        ({"stock": "'-7"}, (0, StockPolicy.TRACKED)),
        ({"instock": "backorder"}, (0, StockPolicy.CONTINUE)),
    ],
)
def test_stock_follows_what_is_managed(cells: dict[str, str], expected: tuple[int | None, StockPolicy]) -> None:
    found = read(woo(simple(**cells)))
    assert (found.variant.quantity, found.variant.policy) == expected
    assert found.told == ([(2, "Stock", RowReason.NEGATIVE_QUANTITY)] if "-7" in cells.get("stock", "") else [])


@pytest.mark.parametrize(
    ("published", "state"),
    [
        ("1", ProductState.PUBLISHED),
        ("", ProductState.PUBLISHED),
        ("0", ProductState.DRAFT),
        ("-1", ProductState.DRAFT),
        ("'-1", ProductState.DRAFT),
    ],
)
def test_only_what_is_public_is_published(published: str, state: ProductState) -> None:
    assert read(woo(simple(published=published))).product.state is state


def test_goods_without_shipping_and_kinds_that_are_not_sold_here() -> None:
    found = read(
        woo(
            simple("1", type="simple, downloadable, virtual"),
            simple("2", type="simple, downloadable"),
            simple("3", type="grouped"),
            simple("4", type="external"),
            simple("5", type="subscription"),
        )
    )
    assert [one.variants[0].requires_shipping for one in found.products] == [False, True]
    assert found.refused == [(number, "Type", RowReason.UNSUPPORTED_KIND) for number in (4, 5, 6)]


def test_what_is_sold_must_be_known() -> None:
    found = read(
        woo(
            simple("1", name=""),
            simple("2", regularprice="ask"),
            variation("3", "id:99", attribute1name="Size", attribute1values="S", regularprice="1"),
            simple("4", sku="X"),
            simple("", sku="x"),
            shirt("6"),
            variation("7", "id:6", attribute1name="Size", attribute1values="S", regularprice="1"),
            variation("8", "id:6", attribute1name="Size", attribute1values="s", regularprice="1"),
            simple("9", regularprice=""),
        )
    )
    assert found.refused == [
        (2, "Name", RowReason.MISSING_VALUE),
        (3, "Regular price", RowReason.INVALID_VALUE),
        (4, "Parent", RowReason.MISSING_VALUE),
        (5, "", RowReason.PRODUCT_REJECTED),
        (6, "SKU", RowReason.DUPLICATE_SKU),
    ]
    twice, free = found.products
    assert [one.options for one in twice.variants] == [(("Size", "S"),)], "such a shop sells the first of them"
    assert (9, "Attribute 1 value(s)", RowReason.DUPLICATE_VARIANT) in found.told
    assert (free.variants[0].price_minor, free.state) == (None, ProductState.DRAFT)


@pytest.mark.parametrize(
    ("column", "text", "grams"), [("Weight (g)", "12.4", 12), ("Weight (lbs)", ".5", 227), ("Weight (oz)", "1", 28)]
)
def test_the_unit_of_weights_stands_in_the_header(column: str, text: str, grams: int) -> None:
    columns = tuple(column if name == "Weight (kg)" else name for name in COLUMNS)
    found = read(woo(simple() | {column: text}, columns=columns))
    assert found.variant.weight_grams == grams


def test_decimal_commas_are_read_where_the_file_writes_them() -> None:
    found = read(woo(simple("1", regularprice="19,90", weightkg="1,250"), simple("2", regularprice="1.299")))
    assert [one.variants[0].price_minor for one in found.products] == [1990, 129900]
    assert found.products[0].variants[0].weight_grams == 1250


def test_a_sku_stays_with_the_first_product_that_has_it() -> None:
    found = read(woo(simple("1", sku="X"), simple("2", sku="x"), simple("3", sku="X", saleprice="5")))
    assert [(one.handle, one.variants[0].sku) for one in found.products] == [("x", "X"), ("id:2", ""), ("id:3", "")]
    assert found.told == [(3, "SKU", RowReason.DUPLICATE_SKU), (4, "SKU", RowReason.DUPLICATE_SKU)]


def test_lists_of_the_shops_own_interface_are_read_as_well() -> None:
    columns = ("id", "name", "sku", "type", "status", "price", "regular_price", "stock_quantity", "all_images")
    cells = ("7", "Cup", "C-1", "simple", "publish", "18", "", "3", "https://x.y/1.jpg; https://x.y/2.jpg")
    found = read(woo(dict(zip(columns, cells, strict=True)), columns=columns))
    assert (found.product.state, found.variant.price_minor, found.variant.quantity) == (ProductState.PUBLISHED, 1800, 3)
    assert (len(found.product.images), found.warnings) == (2, [])


def test_narrow_files_do_with_the_columns_they_have() -> None:
    found = read(woo(simple(), columns=("Type", "Name", "Regular price", "Parent")))
    assert (found.product.handle, found.variant.price_minor) == ("cup", 2000)
    assert {"description", "quantity", "policy", "vendor", "attributes"} <= found.layout.missing


def test_a_german_shop_writes_its_header_in_german() -> None:
    found = read(
        "ID,Typ,Artikelnummer,Name,Veröffentlicht,Kurzbeschreibung,Vorrätig?,Lager,Gewicht (kg),Angebotspreis,"
        "Regulärer Preis,Kategorien,Bilder,Übergeordnetes Produkt,Attribut 1 Name,Attribut 1 Wert(e)\n"
        'GA1,variable,GA1,Poster,1,Schön,1,,,,,Kunst,https://a.example/1.jpg,,Format,"A0, A1"\n'
        '2,variation,GA1-A0,Poster - A0,1,,1,3,"0,2",,"64,99",,,GA1,Format,A0\n'
        '3,variation,GA1-A1,Poster - A1,1,,1,4,,"39,99","44,99",,,GA1,Format,A1\n'.encode()
    )
    assert found.errors == []
    assert [
        (dict(one.options), one.sku, one.price_minor, one.compare_at_price_minor, one.quantity, one.weight_grams)
        for one in found.product.variants
    ] == [({"Format": "A0"}, "GA1-A0", 6499, None, 3, 200), ({"Format": "A1"}, "GA1-A1", 3999, 4499, 4, None)]
    assert (found.product.title, found.product.description, len(found.product.images)) == ("Poster", "Schön", 1)
