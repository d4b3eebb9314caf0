"""Shopify files: real ones come through whole, bad rows are named one by one, and no file breaks the reader."""

from __future__ import annotations

import csv
import io
import re
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marketd.catalog.errors import ImportFileInvalid
from marketd.catalog.imports import whole
from marketd.catalog.imports.csv_file import Reading, ReadingStopped
from marketd.catalog.imports.parsed import RowReason
from marketd.catalog.imports.whole import ParsedFile

HEADER = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,"
    "Variant SKU,Variant Grams,Variant Inventory Qty,Variant Price,Variant Compare At Price,Variant Barcode,"
    "Image Src,Image Position,Image Alt Text,Variant Image"
)
COLUMNS = HEADER.split(",")


def rows(*given: dict[str, str]) -> bytes:
    """A file with these cells."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(given)
    return text.getvalue().encode()


def product(**cells: str) -> dict[str, str]:
    """A row of a product without options."""
    names = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in COLUMNS}
    return {
        "Handle": "cup",
        "Title": "Cup",
        "Option1 Name": "Title",
        "Option1 Value": "Default Title",
        "Variant Price": "4.50",
        **{names[name]: value for name, value in cells.items()},
    }


def parse(data: bytes, currency: str = "EUR") -> ParsedFile:
    return whole.parse(io.BytesIO(data), currency)


def bad(data: bytes) -> list[tuple[int, str, RowReason]]:
    return [(error.row, error.column, error.reason) for error in parse(data).errors]


def test_one_product_is_all_rows_of_a_handle_wherever_they_stand() -> None:
    size = {"Option1 Name": "Size", "Option1 Value": "S"}
    parsed = parse(
        rows(
            product(tags="b, a ,b", vendor="V", type="T", bodyhtml="<p>x<script>y</script></p>") | size,
            product(handle="mug", title="Mug"),
            {"Handle": "CUP ", "Option1 Value": "M", "Variant Price": "5", "Variant Inventory Qty": "3"},
            {"Handle": "cup", "Image Src": "https://x.y/2.jpg", "Image Position": "2", "Image Alt Text": "two"},
            {"Handle": "cup", "Image Src": "https://x.y/1.jpg", "Image Position": "1"},
        )
    )
    assert (parsed.errors, parsed.rows, parsed.products_rejected) == ((), 5, 0)
    cup, mug = parsed.products
    assert (cup.handle, cup.title, cup.vendor, cup.category, cup.tags) == ("cup", "Cup", "V", "T", ("a", "b"))
    assert cup.description == "<p>x</p>"
    assert cup.option_names == ("Size",)
    assert [(variant.options, variant.price_minor, variant.quantity) for variant in cup.variants] == [
        ((("Size", "S"),), 450, None),
        ((("Size", "M"),), 500, 3),
    ]
    assert [(image.url, image.alt_text) for image in cup.images] == [
        ("https://x.y/1.jpg", ""),
        ("https://x.y/2.jpg", "two"),
    ]
    assert cup.rows == (2, 4, 5, 6)
    assert (mug.option_names, mug.variants[0].options) == ((), ())


def test_variant_pictures_are_pictures_of_the_product_once() -> None:
    one = product(imagesrc="https://x.y/1.jpg", variantimage="https://x.y/2.jpg") | {"Option1 Name": "C"}
    two = {"Handle": "cup", "Option1 Value": "b", "Variant Price": "1", "Variant Image": "https://x.y/1.jpg"}
    [cup] = parse(rows(one | {"Option1 Value": "a"}, two)).products
    assert [image.url for image in cup.images] == ["https://x.y/1.jpg", "https://x.y/2.jpg"]
    assert [variant.image_url for variant in cup.variants] == ["https://x.y/2.jpg", "https://x.y/1.jpg"]


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ({"variantprice": ""}, "Variant Price", RowReason.MISSING_VALUE),
        ({"imagesrc": "http://x.y/1.jpg"}, "Image Src", RowReason.INVALID_VALUE),
        ({"imagesrc": "ftp://x.y/1.jpg"}, "Image Src", RowReason.INVALID_VALUE),
        ({"variantprice": "1e9"}, "Variant Price", RowReason.INVALID_VALUE),
        ({"variantprice": "NaN"}, "Variant Price", RowReason.INVALID_VALUE),
        ({"variantprice": "Infinity"}, "Variant Price", RowReason.INVALID_VALUE),
        ({"variantprice": "1,50"}, "Variant Price", RowReason.INVALID_VALUE),
        ({"variantprice": "٣"}, "Variant Price", RowReason.INVALID_VALUE),
        ({"variantprice": "1.005"}, "Variant Price", RowReason.INVALID_VALUE),
        ({"variantprice": "."}, "Variant Price", RowReason.INVALID_VALUE),
        ({"variantprice": "-1"}, "Variant Price", RowReason.OUT_OF_RANGE),
        ({"variantprice": "100000000.01"}, "Variant Price", RowReason.OUT_OF_RANGE),
        ({"variantcompareatprice": "-0.01"}, "Variant Compare At Price", RowReason.OUT_OF_RANGE),
        ({"variantinventoryqty": "-3"}, "Variant Inventory Qty", RowReason.OUT_OF_RANGE),
        ({"variantinventoryqty": "1.5"}, "Variant Inventory Qty", RowReason.INVALID_VALUE),
        ({"variantinventoryqty": "many"}, "Variant Inventory Qty", RowReason.INVALID_VALUE),
        ({"variantinventoryqty": "1000000001"}, "Variant Inventory Qty", RowReason.OUT_OF_RANGE),
        ({"variantgrams": "heavy"}, "Variant Grams", RowReason.INVALID_VALUE),
        ({"title": ""}, "Title", RowReason.MISSING_VALUE),
        ({"title": "x" * 256}, "Title", RowReason.TOO_LONG),
        ({"bodyhtml": "x" * 200_000}, "Body (HTML)", RowReason.TOO_LONG),
        ({"variantsku": "x" * 256}, "Variant SKU", RowReason.TOO_LONG),
        ({"handle": "x" * 256}, "Handle", RowReason.TOO_LONG),
        ({"tags": ",".join(map(str, range(251)))}, "Tags", RowReason.TOO_LONG),
        ({"published": "perhaps"}, "Published", RowReason.INVALID_VALUE),
        ({"imagesrc": "javascript:x()"}, "Image Src", RowReason.INVALID_VALUE),
        ({"imagesrc": "https://x.y/" + "z" * 2048}, "Image Src", RowReason.TOO_LONG),
        ({"option2value": "L"}, "Option2 Value", RowReason.INVALID_VALUE),
        ({"option2name": "Size"}, "Option2 Value", RowReason.MISSING_VALUE),
    ],
)
def test_a_bad_cell_is_named_by_row_column_and_reason(cells: dict[str, str], column: str, reason: RowReason) -> None:
    assert bad(rows(product(handle="good"), product(**cells))) == [(3, column, reason)]


def test_whole_numbers_and_empty_cells_are_what_they_look_like() -> None:
    [cup] = parse(rows(product(variantinventoryqty="12.0", variantgrams="28.4", variantsku="'007"))).products
    assert (cup.variants[0].quantity, cup.variants[0].weight_grams, cup.variants[0].sku) == (12, 28, "007")
    assert parse(rows(product(variantprice="50.00")), "JPY").products[0].variants[0].price_minor == 50
    assert parse(rows(product(variantprice="4.999")), "KWD").products[0].variants[0].price_minor == 4999


def test_a_bad_row_takes_its_product_down_and_every_row_is_accounted_for() -> None:
    size = {"Option1 Name": "Size"}
    data = rows(
        product() | size | {"Option1 Value": "S"},
        {"Handle": "cup", "Option1 Value": "M", "Variant Price": "free"},
        {"Handle": "cup", "Option1 Value": "S", "Variant Price": "2"},
        product(handle="mug"),
        product(handle=""),
    )
    parsed = parse(data)
    assert [item.handle for item in parsed.products] == ["mug"]
    assert parsed.products_rejected == 1
    assert bad(data) == [
        (2, "", RowReason.PRODUCT_REJECTED),
        (3, "Variant Price", RowReason.INVALID_VALUE),
        (4, "Option1 Value", RowReason.DUPLICATE_VARIANT),
        (6, "Handle", RowReason.MISSING_VALUE),
    ]


def test_option_values_that_read_the_same_are_one() -> None:
    names = {"Option1 Name": "Sorte"}
    data = rows(
        product() | names | {"Option1 Value": "Caf\u00e9"},
        product() | names | {"Option1 Value": "cafe\u0301"},
    )
    assert bad(data)[-1] == (3, "Option1 Value", RowReason.DUPLICATE_VARIANT)


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"title": "Cup\u202e"}, "Title"),
        ({"title": "\u200b"}, "Title"),
        ({"title": "one\ntwo"}, "Title"),
        ({"vendor": "V\x1b[2J"}, "Vendor"),
        ({"bodyhtml": "fine\n\x07"}, "Body (HTML)"),
        ({"tags": "a,b\tc"}, "Tags"),
        ({"variantsku": "A\u2066"}, "Variant SKU"),
    ],
)
def test_a_file_holds_no_text_that_a_request_may_not_hold(cells: dict[str, str], column: str) -> None:
    assert bad(rows(product(**cells))) == [(2, column, RowReason.INVALID_VALUE)]
    [cup] = parse(rows(product(bodyhtml="<p>two\nlines</p>", title="Käse & Mehr"))).products
    assert (cup.title, cup.description) == ("Käse & Mehr", "<p>two\nlines</p>")


def test_a_sku_belongs_to_one_variant_of_the_file() -> None:
    data = rows(product(variantsku="A"), product(handle="mug", variantsku="a"), product(handle="pot", variantsku="B"))
    assert bad(data) == [(3, "Variant SKU", RowReason.DUPLICATE_SKU)]


def test_broken_quotes_cost_their_row_and_not_the_rest() -> None:
    good = ",".join(["mug", "Mug", "", "", "", "", "", "Title", "Default Title", "", "", "", "", "", "3"] + [""] * 6)
    broken = 'cup,Cup,"never closed'
    stray = 'pot,"Pot" x,'
    parsed = parse("\n".join([HEADER, broken, good, stray, good.replace("mug", "pan")]).encode())
    assert [item.handle for item in parsed.products] == ["mug", "pan"]
    assert [(error.row, error.reason, error.handle) for error in parsed.errors] == [
        (2, RowReason.MALFORMED_ROW, "cup"),
        (4, RowReason.MALFORMED_ROW, "pot"),
    ]


def test_rows_of_another_width_and_nul_characters_are_malformed() -> None:
    data = rows(product()) + b"mug,Mug\n" + rows(product(handle="pot", title="P\0t")).split(b"\n", 1)[1]
    parsed = parse(data)
    assert [(error.row, error.reason, error.handle) for error in parsed.errors] == [
        (3, RowReason.MALFORMED_ROW, "mug"),
        (4, RowReason.MALFORMED_ROW, "pot"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\r\n", b"\n"),
        lambda data: data.replace(b"\r\n", b"\r"),
        lambda data: data.replace(b"\r\n", b"\r\n\r\n"),
        lambda data: data.rstrip(),
        lambda data: data.replace(b"Handle,Title", b" handle , TITLE"),
    ],
)
def test_marks_line_ends_and_letters_of_the_header_do_not_matter(change: object) -> None:
    data = rows(product(bodyhtml="ä"), product(handle="mug"))
    assert callable(change)
    changed = parse(change(data))
    assert [item.handle for item in changed.products] == ["cup", "mug"]
    assert changed.errors == ()
    assert changed.rows == 2


@pytest.mark.parametrize(
    ("data", "row", "column"),
    [
        (b"", 1, ""),
        (b"\n\n", 1, ""),
        (HEADER.replace("Handle,", "Name,").encode(), 1, "Handle"),
        (HEADER.replace(",", ";").encode(), 1, "Handle"),
        (HEADER.replace("Variant Price,", "").encode(), 1, "Variant Price"),
        (rows(product(), product(handle="mug")) + "tasse,Käse".encode("latin-1"), 4, ""),
        (HEADER.encode("utf-16"), 1, ""),
        (b'"Handle', 1, ""),
        (bytes(range(256)), 1, "Handle"),
    ],
)
def test_what_is_no_such_file_is_refused_with_a_reason(data: bytes, row: int, column: str) -> None:
    with pytest.raises(ImportFileInvalid) as refused:
        parse(data)
    assert (refused.value.row, refused.value.column) == (row, column)
    assert refused.value.metadata == {"row": str(row), "column": column}


@settings(max_examples=200)
@given(st.lists(st.text(alphabet=st.sampled_from(list('cup,"\n\r\0;Title1.-é'))), max_size=30))
def test_no_file_breaks_the_reader_and_every_row_is_either_a_product_or_an_error(pieces: list[str]) -> None:
    parsed = parse((HEADER + "\n" + "".join(pieces)).encode())
    told = [row for item in parsed.products for row in item.rows] + [error.row for error in parsed.errors]
    assert len(set(told)) == parsed.rows


def test_a_file_of_open_quotes_is_read_in_time() -> None:
    data = HEADER.encode() + b"\n" + b'a,"b\n' * 20_000
    assert len(bad(data)) == 20_000


def test_reading_stops_when_nobody_waits() -> None:
    with pytest.raises(ReadingStopped):
        whole.parse(io.BytesIO(rows(product())), "EUR", Reading(is_stopped=True))


def test_the_demo_file_is_whole_and_has_three_shops() -> None:
    data = resources.files("marketd.demo.data").joinpath("products.csv").read_bytes()
    parsed = parse(data)
    assert (len(parsed.products), parsed.errors) == (24, ())
    assert len({product.vendor for product in parsed.products}) == 3
