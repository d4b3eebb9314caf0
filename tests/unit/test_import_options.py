"""Options in the ways in which files say them: once, on each row, in another order, without a name, without a value."""

from __future__ import annotations

from marketd.catalog.imports.parsed import RowReason

from tests.worlds.product_files import Read, product, read, row, shopify, size


def chosen(found: Read) -> list[dict[str, str]]:
    """The options of each variant of the only product."""
    return [dict(one.options) for one in found.product.variants]


def test_names_stand_in_the_first_row_or_on_each_or_come_later() -> None:
    once = read(shopify(size("S"), row(option1value="M", price="1")))
    each = read(shopify(size("S"), row(option1name=" size", option1value="M", price="1")))
    later = read(
        shopify(product(option1name="", option1value="S"), row(option1name="Size", option1value="M", price="1"))
    )
    for found in (once, each, later):
        assert (chosen(found), found.product.option_names, found.warnings) == (
            [{"Size": "S"}, {"Size": "M"}],
            ("Size",),
            [],
        )


def test_rows_may_name_the_options_in_another_order() -> None:
    found = read(
        shopify(
            size("S", option2name="Colour", option2value="Red"),
            row(option1name="Colour", option1value="Blue", option2name="Size", option2value="M", price="1"),
        )
    )
    assert chosen(found) == [{"Size": "S", "Colour": "Red"}, {"Size": "M", "Colour": "Blue"}]
    assert [tuple(dict(one.options)) for one in found.product.variants] == [("Size", "Colour")] * 2


def test_another_option_on_a_later_row_refuses_the_product() -> None:
    found = read(shopify(size("S"), row(option1name="Colour", option1value="Red", price="3")))
    assert found.refused == [(2, "", RowReason.PRODUCT_REJECTED), (3, "Option1 Name", RowReason.OPTION_MISMATCH)]
    assert "'Colour', and the product 'Size'" in found.errors[1].message


def test_title_and_default_title_are_no_option_and_a_title_with_values_is() -> None:
    for name, value in (
        ("Title", "Default Title"),
        ("title", ""),
        ("", ""),
        ("", "Default Title"),
        ("Title", "Default"),
    ):
        found = read(shopify(product(option1name=name, option1value=value)))
        assert (chosen(found), found.product.option_names, found.warnings) == ([{}], (), [])
    found = read(shopify(product(option1name="Title", option1value="Small"), row(option1value="Big", price="1")))
    assert chosen(found) == [{"Title": "Small"}, {"Title": "Big"}]
    named = read(shopify(product(option1name="Finish", option1value="Default")))
    assert chosen(named) == [{"Finish": "Default"}]


def test_the_first_place_may_be_empty() -> None:
    found = read(
        shopify(product(option1name="", option2name="Size", option2value="S"), row(option2value="M", price="1"))
    )
    assert (chosen(found), found.product.option_names) == ([{"Size": "S"}, {"Size": "M"}], ("Size",))


def test_an_option_that_no_variant_has_is_none() -> None:
    found = read(shopify(size("")))
    assert (chosen(found), found.product.option_names) == ([{}], ())
    assert found.told == [(2, "Option1 Value", RowReason.MISSING_VALUE)]
    two = read(shopify(size("S", option2name="Colour"), row(option1value="M", price="1")))
    assert (chosen(two), two.product.option_names) == ([{"Size": "S"}, {"Size": "M"}], ("Size",))


def test_values_without_a_name_get_one() -> None:
    found = read(shopify(product(option1name="", option1value="S"), row(option1value="M", price="1")))
    assert chosen(found) == [{"Option 1": "S"}, {"Option 1": "M"}]
    assert found.told == [(2, "Option1 Name", RowReason.MISSING_VALUE)]


def test_a_variant_may_leave_out_one_option_but_not_all() -> None:
    found = read(
        shopify(
            size("S", option2name="Colour", option2value="Red"),
            row(option1value="M", price="1"),
        )
    )
    assert chosen(found) == [{"Size": "S", "Colour": "Red"}, {"Size": "M"}]
    assert found.told == [(3, "Option2 Value", RowReason.MISSING_VALUE)]
    none = read(shopify(size("S"), row(price="9", sku="X")))
    assert (3, "Option1 Value", RowReason.MISSING_VALUE) in none.refused


def test_two_options_of_one_name_are_told_apart_or_are_the_same() -> None:
    apart = read(
        shopify(
            size("S", option2name="size", option2value="Long"),
            row(option1value="S", option2value="Short", price="1"),
        )
    )
    assert chosen(apart) == [{"Size": "S", "size 2": "Long"}, {"Size": "S", "size 2": "Short"}]
    same = read(shopify(size("S", option2name="Size", option2value="S")))
    assert chosen(same) == [{"Size": "S"}]


def test_long_names_are_cut_and_rows_that_repeat_them_still_fit() -> None:
    name = "What shall we engrave? " * 12
    found = read(
        shopify(
            product(option1name=name, option1value="A"),
            row(option1name=name, option1value="B", price="1"),
        )
    )
    [kept] = found.product.option_names
    assert len(kept) == 255
    assert chosen(found) == [{kept: "A"}, {kept: "B"}]
    assert found.told == [(2, "Option1 Name", RowReason.TOO_LONG)]


def test_values_that_read_the_same_are_one_and_the_second_must_not_contradict() -> None:
    same = read(
        shopify(
            size("Café", sku="A", inventoryqty="2"),
            row(option1value="cafe\u0301", price="4.50", sku="A", imagesrc="https://x.y/2.jpg"),
            row(option1value="CAFÉ"),
        )
    )
    assert len(same.product.variants) == 1
    assert len(same.product.images) == 1
    assert same.told == [(4, "", RowReason.DUPLICATE_VARIANT)]
    other = read(shopify(size("Café"), row(option1value="cafe\u0301", price="9")))
    assert other.refused[-1] == (3, "Option1 Value", RowReason.DUPLICATE_VARIANT)
    assert "another Variant Price" in other.errors[-1].message
    kept = read(shopify(size("S", sku="A", price="5"), row(option1value="S", sku="B", price="5.00"), size("M", "mug")))
    assert [[one.sku for one in each.variants] for each in kept.products] == [["A"], [""]]
    assert (kept.errors, kept.told) == ([], [(3, "Option1 Value", RowReason.DUPLICATE_VARIANT)])


def test_a_first_row_that_chooses_nothing_is_the_product_and_not_a_variant() -> None:
    found = read(shopify(size("", sku="CUP"), row(option1value="S", price="1"), row(option1value="M", price="2")))
    assert chosen(found) == [{"Size": "S"}, {"Size": "M"}]
    assert (found.errors, found.told) == ([], [(2, "Option1 Value", RowReason.MISSING_VALUE)])
    unclear = read(shopify(size("S"), row(price="1"), row(option1value="M", price="2")))
    assert unclear.refused[1] == (3, "Option1 Value", RowReason.MISSING_VALUE)


def test_rows_that_show_a_picture_may_repeat_what_the_first_says() -> None:
    found = read(
        shopify(
            size("S", sku="A", imagesrc="https://x.y/1.jpg"),
            row(price="4.50", sku="A", imagesrc="https://x.y/2.jpg"),
            row(option1value="S", price="4.50", sku="A", imagesrc="https://x.y/3.jpg"),
        )
    )
    assert (chosen(found), len(found.product.images), found.warnings) == ([{"Size": "S"}], 3, [])
    plain = read(shopify(product(), row(option1value="Default Title", price="4.50", imagesrc="https://x.y/2.jpg")))
    assert (chosen(plain), len(plain.product.images), plain.warnings) == ([{}], 1, [])
