"""Files of any make: what they are as bytes, how they are cut into rows, and that no file breaks the reader."""

from __future__ import annotations

import io
import time
import tracemalloc

import pytest
from marketd.catalog.errors import ImportFileInvalid
from marketd.catalog.imports import csv_file
from marketd.catalog.imports.csv_file import Reading, ReadingStopped
from marketd.catalog.imports.keys import handle_key
from marketd.catalog.imports.parsed import RowReason
from marketd.catalog.imports.tables import open_table

from tests.worlds.product_files import COLUMNS, product, read, row, shopify, size, table_of

TWO = shopify(product(bodyhtml="ä"), product("mug"))
HEADER = ",".join(COLUMNS)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + TWO,
        TWO.replace(b"\r\n", b"\n"),
        TWO.replace(b"\r\n", b"\r"),
        TWO.replace(b"\r\n", b"\r\n\r\n"),
        b"\r\n,,,\r\n" + TWO,
        TWO.rstrip(),
        TWO.replace(b"Handle,Title", b" handle , TITLE"),
        TWO.replace(b",", b";"),
        b"sep=;\n" + TWO.replace(b",", b";"),
        TWO.replace(b",", b"\t"),
        TWO.decode().encode("utf-16"),
        TWO.decode().replace(",", "\t").encode("utf-16"),
        b"\xfe\xff" + TWO.decode().encode("utf-16-be"),
        TWO.replace(b"\r\n", b",,\r\n"),
        TWO.decode().encode("cp1252"),
    ],
)
def test_marks_line_ends_separators_and_encodings_do_not_matter(data: bytes) -> None:
    found = read(data)
    assert [(one.handle, one.title) for one in found.products] == [("cup", "Cup"), ("mug", "Mug")]
    assert found.products[0].description == "ä"
    assert (found.errors, found.warnings, found.rows) == ([], [], 2)


def test_cells_hold_separators_quotes_and_line_ends() -> None:
    body = '<p>12" wide,\r\n\r\n50 % "off"; or\tnot</p>\n'
    found = read(shopify(product(bodyhtml=body, tags='a, "b"'), product("mug")))
    # As nh3 writes it: parsers make one kind of line end of all.
    assert found.products[0].description == '<p>12" wide,\n\n50 % "off"; or\tnot</p>'
    assert found.products[0].tags == ('"b"', "a")
    assert found.products[1].rows == (3,)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Müsli für Käuze, groß", "cp1252"),
        ("Café crème brûlée à l’ancienne – 5 €", "cp1252"),  # noqa: RUF001
        ("Jamón ibérico, ¡qué rico! ½ kg", "cp1252"),
        ("Caffè ristretto perché no", "cp1252"),
        ("Pão de queijo, maçã e açaí", "cp1252"),
        ("Rødgrød med fløde på", "cp1252"),
        ("It’s “smart” – isn’t it…", "cp1252"),  # noqa: RUF001
        ("25 m² · 20 °C ± 2", "cp1252"),
    ],
)
def test_windows_1252_is_taken_where_the_letters_are_those_of_a_western_language(text: str, encoding: str) -> None:
    assert read(shopify(product(title=text)).decode().encode(encoding)).product.title == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Чай чёрный байховый", "cp1251"),
        ("Žluťoučký kůň", "cp1250"),
        ("Łódź, żółta gęś", "cp1250"),
        ("Türkçe ışık, ağaç şeker", "cp1254"),  # noqa: RUF001
        ("Καφές ελληνικός", "cp1253"),
        ("緑茶とケーキ", "shift-jis"),
        ("绿茶和蛋糕", "gbk"),
        ("Crème brûlée für Käuze", "mac-roman"),
        ("Käse", "cp437"),
    ],
)
def test_other_encodings_are_refused_at_their_row_instead_of_read_wrong(text: str, encoding: str) -> None:
    with pytest.raises(ImportFileInvalid, match="not UTF-8") as refused:
        read(shopify(product(), product("mug", title=text)).decode().encode(encoding))
    assert refused.value.row == 3


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04" + TWO, "ZIP archive or an Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Excel workbook"),
        (b"\x1f\x8b\x08" + TWO, "gzip"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'<?xml version="1.0"?><rss>', "XML"),
        (b'{"products": []}', "JSON"),
        (b'[{"title": "Cup"}]', "JSON"),
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (TWO.decode().encode("utf-16-le"), "UTF-16 without its mark"),
        (TWO.decode().encode("utf-32"), "UTF-32"),
        (b"\x7fELF" + bytes(300), "no text"),
        (b"", "empty"),
        (b"\n \n", "empty"),
    ],
)
def test_what_is_no_table_is_named(data: bytes, said: str) -> None:
    with pytest.raises(ImportFileInvalid, match=said):
        read(data)


def test_rows_that_end_early_are_filled_and_blank_cells_beyond_the_header_are_not_seen() -> None:
    lines = shopify(size("S"), row(option1value="M", price="5")).decode().splitlines()
    lines[1] = lines[1].rstrip(",")
    lines[2] += ",,, ,"
    found = read("\n".join(lines).encode())
    assert [dict(one.options) for one in found.product.variants] == [{"Size": "S"}, {"Size": "M"}]
    assert found.warnings == []


def test_rows_of_another_width_are_malformed_and_take_their_product_down() -> None:
    data = shopify(product(), product("pot")) + b"mug,Mug\n" + b"pot," + b"x," * 40 + b"\n"
    found = read(data)
    assert [one.handle for one in found.products] == ["cup"]
    assert found.refused == [
        (3, "", RowReason.PRODUCT_REJECTED),
        (4, "", RowReason.MALFORMED_ROW),
        (5, "", RowReason.MALFORMED_ROW),
    ]
    assert "a comma in a text" in found.errors[2].message


def test_broken_quotes_cost_their_row_and_not_the_rest() -> None:
    lines = shopify(product("mug"), product("pan")).decode().splitlines()
    lines[1:1] = ['cup,Cup,"never closed']
    lines[3:3] = ['pot,"Pot" x,']
    found = read("\n".join(lines).encode())
    assert [one.handle for one in found.products] == ["mug", "pan"]
    assert [(error.row, error.reason, error.handle) for error in found.errors] == [
        (2, RowReason.MALFORMED_ROW, "cup"),
        (4, RowReason.MALFORMED_ROW, "pot"),
    ]


def test_a_stray_quote_in_a_row_that_is_else_whole_is_told_and_costs_nothing_more() -> None:
    lines = shopify(product("mug"), product("pan")).decode().splitlines()
    lines[1] = lines[1].replace("Mug", '"Mug, 12" wide"')
    found = read("\n".join(lines).encode())
    assert [one.handle for one in found.products] == ["mug", "pan"]
    assert found.products[0].title == 'Mug, 12 wide"'
    assert found.told == [(2, "", RowReason.MALFORMED_ROW)]


def test_cells_beyond_the_last_column_are_left_out_where_the_others_stand_right() -> None:
    full = product(published="true", inventoryqty="3", requiresshipping="true", bodyhtml="one")
    lines = shopify(full, full | {"Handle": "mug"}).decode().splitlines()
    lines[1] += ",surplus"
    lines[2] = lines[2].replace(",one,", ",one, two,")
    found = read("\n".join(lines).encode())
    assert [one.handle for one in found.products] == ["cup"]
    assert found.told == [(2, "", RowReason.MALFORMED_ROW)]
    assert found.refused == [(3, "", RowReason.MALFORMED_ROW)]


def test_characters_that_no_text_may_hold_are_taken_out_and_told() -> None:
    found = read(
        shopify(
            product(
                title="C\0u\x0bp\u202e",
                vendor="A\u2028B",
                bodyhtml="<p>one\x0btwo&#x202e;</p>",
                tags="a\0,b",
                sku="S\u20661",
            )
        )
    )
    cup = found.product
    assert (cup.title, cup.vendor, cup.description) == ("Cu p", "A B", "<p>onetwo</p>")
    assert (cup.tags, cup.variants[0].sku) == (("a", "b"), "S1")
    assert {column for _, column, reason in found.told if reason is RowReason.TEXT_CLEANED} == {
        "Title", "Vendor", "Body (HTML)", "Tags", "Variant SKU",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (HEADER.encode() + b"\n" + b'a,"b\n' * 10_000, 10_000),
        (HEADER.encode() + b"\n" + b'"\n' * 20_000, None),
        (HEADER.encode() + b"\n" + b"x," * 1_000_000 + b"\n", 1),
        (HEADER.encode() + b',"' + b"x" * 2_000_000 + b'"\n', 0),
        (HEADER.encode() + b"\n" + b"\r" * 200_000, 0),
        (HEADER.encode() + b"\na," + b'""' * 1_000_000, 1),
        (b"," * 1_000_000 + b"\n", None),
        (HEADER.encode() + b"," * 1_000_000 + (b"\nh,T" + b"," * 15 + b"1") * 10_000, None),
        (HEADER.encode() + b"," * 1_900 + (b"\nh,T" + b"," * 15 + b"1") * 2_000, 2_000),
        (shopify(product(title="x" * 1_000_000, tags="," * 500_000, price="9" * 1_000_000)), 1),
        (shopify(product(price="1" + ",000" * 200_000, grams="0" * 1_000_000)), 1),
    ],
)
def test_hostile_files_are_read_in_time(data: bytes, rows: int | None) -> None:
    begin = time.process_time()
    try:
        found = read(data)
    except ImportFileInvalid:
        assert rows is None or rows == 0
    else:
        assert rows is None or found.rows == rows
    assert time.process_time() - begin < 2


def test_a_quote_that_never_closes_does_not_take_the_file_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "_MAX_RECORD", 50_000)
    filler = b"".join(b"p%d,T,%s\n" % (number, b"x" * 1000) for number in range(3000))
    good = shopify(product("mug")).split(b"\r\n", 1)[1]
    data = io.BytesIO(HEADER.encode() + b'\ncup,"Cup\n' + filler + good)
    tracemalloc.start()
    try:
        numbers = [one.number for one in open_table(data, Reading()).rows() if not one.problem]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert numbers == [3003]
    assert most < 2_000_000, "of a file of 3 MB"


def test_quotes_that_do_not_close_in_row_after_row_refuse_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would be read to the end of the file, and then again from the line below."""
    monkeypatch.setattr(csv_file, "_MAX_LINES_AGAIN", 20_000)
    begin = time.process_time()
    with pytest.raises(ImportFileInvalid, match="do not close"):
        read(HEADER.encode() + b"\n" + b'a","c\n' * 3000)
    assert time.process_time() - begin < 2


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(ImportFileInvalid, match="more than"):
        read(HEADER.encode() + b"\n" + b"x" * (1 << 24) + b"yy")


def test_reading_stops_when_nobody_waits() -> None:
    with pytest.raises(ReadingStopped):
        list(open_table(io.BytesIO(TWO), Reading(is_stopped=True)).rows())


def test_every_row_is_told_and_none_twice() -> None:
    pieces = ['"', ",", "\n", "\r", "\0", "cup", "mug", "Title", "1.50", "é", ";", "'", "--", '""']
    text = "".join(pieces[(number * number + number // 7) % len(pieces)] for number in range(3000))
    found = read((table_of(COLUMNS) + text).encode())
    told = [number for one in found.products for number in one.rows] + [error.row for error in found.errors]
    assert len(set(told)) == found.rows


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("grams", "heavy", "'heavy' is not a number such as 12 or 49.90; it is left out"),
        ("inventoryqty", "few", "'few' is not a number such as 12 or 49.90; it is left out"),
        ("requiresshipping", "maybe", "'maybe' is not true or false; counts as true"),
        ("giftcard", "perhaps", "'perhaps' is not true or false; counts as false"),
        ("imagesrc", "ftp://x/y.jpg", "'ftp://x/y.jpg' is not an address that begins with https://; it is left out"),
    ],
)
def test_a_warning_tells_what_comes_in_instead(column: str, cell: str, said: str) -> None:
    found = read(shopify(product(**{column: cell})))
    assert [warning.message for warning in found.warnings] == [said]


def test_a_handle_is_found_again_by_itself() -> None:
    for text in ("Ϋ\u0301", "İx", "ΣΑΣ", "É" * 300, "  A  b "):
        assert handle_key(handle_key(text)) == handle_key(text)


def test_of_words_without_end_the_first_are_looked_at() -> None:
    found = read(shopify(product(tags=",".join(map(str, range(1_000_000))))))
    [told] = found.warnings
    assert len(found.products[0].tags) == 250
    assert 250 < int(told.message.split()[2]) < 100_000
