"""The benchmark of search: files that are wrong say where, and nDCG is worked out as the papers have it."""

from __future__ import annotations

import gzip
import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import typer
from marketd.bench.search import SearchMeasured
from marketd.bench.search_files import FileUnusable, read_judgments, read_products
from marketd.bench.search_quality import judge
from marketd.commands.bench import command
from rich.console import Console
from typer.testing import CliRunner

PRODUCT = {
    "id": "1",
    "title": "Xerox toner",
    "supplier": "Xerox",
    "name": "006R90321",
    "price": 4995,
    "ean": ["0095205603217"],
    "short_description": "Six a box",
    "attrs": {"t_type": "Original", "n_quantity_per_pack": 6.0, "b_colour": False, "t_note": "two\nlines"},
}


def products(folder: Path, *lines: object, packed: bool = False) -> Path:
    path = folder / "products.ndjson"
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


def judgments(folder: Path, text: str) -> Path:
    path = folder / "judgments.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_a_product_of_the_file_becomes_one_of_the_contract(tmp_path: Path, packed: bool) -> None:
    (found,) = read_products(products(tmp_path, PRODUCT, "", packed=packed))
    message = found.message("EUR", "", 3)
    assert (message.title, message.description) == ("Xerox toner", "Six a box")
    variant = message.variants[0]
    assert (variant.sku, variant.barcode, variant.initial_quantity) == ("006R90321", "0095205603217", 3)
    assert (variant.price.currency_code, variant.price.units, variant.price.nanos) == ("EUR", 49, 950_000_000)
    assert dict(message.attributes) == {
        "Type": "Original",
        "Quantity per pack": "6",
        "Colour": "No",
        "Note": "two lines",
    }


def test_what_is_too_long_for_a_product_is_cut(tmp_path: Path) -> None:
    many = {f"t_attribute_{number}": "x" * 300 for number in range(60)}
    (found,) = read_products(products(tmp_path, {**PRODUCT, "title": "a" * 300, "attrs": many}))
    assert len(found.title) == 255
    assert len(found.attributes) == 50
    assert all(len(value) == 255 for value in found.attributes.values())


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "has no products"),
        ([PRODUCT, "{oops"], "line 2: is no JSON"),
        ([PRODUCT, "[]"], "line 2: must be a JSON object"),
        ([{**PRODUCT, "price": "cheap"}], "line 1: the price is 'cheap'"),
        ([{**PRODUCT, "title": " "}], "line 1: the title is empty"),
        ([{"id": "1", "title": "x"}], "line 1: there is no 'price'"),
        ([PRODUCT, PRODUCT], "line 2: there are two products with the id '1'"),
    ],
)
def test_a_file_of_products_that_is_wrong_says_where(tmp_path: Path, lines: list[object], said: str) -> None:
    with pytest.raises(FileUnusable, match=r"products\.ndjson") as raised:
        read_products(products(tmp_path, *lines))
    assert said in str(raised.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match=r"missing\.ndjson cannot be read"):
        read_products(tmp_path / "missing.ndjson")
    cut = products(tmp_path, PRODUCT, packed=True)
    cut.write_bytes(cut.read_bytes()[:40])
    with pytest.raises(FileUnusable, match="cannot be read"):
        read_products(cut)
    cut.write_bytes(b"\xff\xfe")
    with pytest.raises(FileUnusable, match="not in UTF-8"):
        read_products(cut)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("query,product_id\n", "line 1: there is no column rating"),
        ("query,product_id,rating\ntoner,1,4\n", "line 2: the rating is '4'"),
        ("query,product_id,rating\ntoner,1,3\ntoner,2,3\n", "line 3: there is no product '2'"),
        ("query,product_id,rating\n,1,3\n", "line 2: there is no query"),
        ("query,product_id,rating\ntoner,1,3\ntoner,1,2\n", "line 3: '1' was judged otherwise"),
        ("query,product_id,rating\ntoner,1,0\n", "calls no product good"),
    ],
)
def test_a_file_of_judgments_that_is_wrong_says_where(tmp_path: Path, text: str, said: str) -> None:
    known = read_products(products(tmp_path, PRODUCT))
    with pytest.raises(FileUnusable, match=r"judgments\.csv") as raised:
        read_judgments(judgments(tmp_path, text), known)
    assert said in str(raised.value)


def test_a_ranking_is_worth_its_gain_over_that_of_the_best_one() -> None:
    ratings = {"a": 3, "b": 1, "c": 0}
    best = 7 + 1 / math.log2(3)
    perfect = judge("q", ["a", "b", "c"], ratings)
    assert perfect is not None
    assert (perfect.ndcg, perfect.ndcg_judged) == (1.0, 1.0)
    turned = judge("q", ["x", "b", "c", "a"], ratings)
    assert turned is not None
    assert turned.ndcg == pytest.approx((1 / math.log2(3) + 7 / math.log2(5)) / best)
    assert turned.ndcg_judged == pytest.approx((1 + 7 / math.log2(4)) / best)
    late = judge("q", [*"0123456789", "a"], ratings)
    assert late is not None
    assert late.ndcg == 0.0
    assert late.ndcg_judged == pytest.approx(7 / best)
    assert judge("q", [], {"a": 0}) is None


def test_what_was_measured_is_said_to_machines_and_people() -> None:
    good, bad = judge("good", ["a"], {"a": 3}), judge("bad", [], {"a": 2})
    assert good is not None
    assert bad is not None
    measured = SearchMeasured(2, [good, bad], ["bad"], ["nothing"], {"ilike": 0.25, "ts_rank": 0.5}, 1.5, 9.0)
    said: dict[str, Any] = measured.to_json()
    assert (said["queries"], said["ndcg_at_10"], said["ndcg_at_10_judged"]) == (2, 0.5, 0.5)
    assert (said["empty"], said["baselines"]) == (["bad"], {"ilike": 0.25, "ts_rank": 0.5})
    assert [each["query"] for each in said["worst"]] == ["bad", "good"]
    console = Console(width=100, record=True)
    console.print(measured.to_table())
    assert "Nothing was found for: bad." in console.export_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search"], "needs --products FILE and --judgments FILE"),
        (["growth", "--sizes", "1000,10"], "each larger than the one before"),
        (["reads", "search"], "there is no group search"),
    ],
)
def test_the_command_says_what_it_lacks(arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    bench = typer.Typer()
    bench.command()(command)
    result = CliRunner().invoke(bench, arguments)
    assert result.exit_code == 2
    assert said in result.output
