"""What README and docs say to paste does what it says, against two workers with demo data."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from marketd.app import SERVICES
from PIL import Image

from tests.faults.pasting import ADDRESS, PAGES, Pasted, blocks, commands, paste_each
from tests.worlds.foreign import ROOT, fetched, succeed, write_descriptors
from tests.worlds.served import Served

README = ROOT / "README.md"
NODE_PACKAGES = json.loads((ROOT / "tests/node/package.json").read_text())["dependencies"]


def lists_services(pasted: Pasted) -> None:
    assert set(SERVICES) <= set(pasted.output.splitlines())


def describes_a_method(pasted: Pasted) -> None:
    assert " is a method:\n// " in pasted.output
    assert "Errors: " in pasted.output


def shows_two_products(pasted: Pasted) -> None:
    assert len(json.loads(pasted.output)["products"]) == 2


def corrects_the_slip(pasted: Pasted) -> None:
    found = json.loads(pasted.output)
    assert found["correctedQuery"] == "coffee"
    assert found["products"]
    assert {facet["kind"] for facet in found["facets"]} >= {"FACET_KIND_PRICE"}


def suggests_coffee(pasted: Pasted) -> None:
    assert json.loads(pasted.output)["suggestions"][0] == {"text": "coffee"}


def uploads(pasted: Pasted) -> None:
    sizes = json.loads(pasted.output)["media"]["renditions"]
    assert [size["name"] for size in sizes] == ["thumb", "card", "full"]


def keeps_it(pasted: Pasted) -> None:
    assert pasted.output == ""


def fills_a_cart(pasted: Pasted) -> None:
    assert json.loads(pasted.output)["cart"]["items"][0]["quantity"] == 2


def takes_a_tenth_off(pasted: Pasted) -> None:
    cart = json.loads(pasted.output)["cart"]
    assert [code["code"] for code in cart["promoCodes"]] == ["WELCOME10"]
    assert cart["guest"] is True


def places_an_order(pasted: Pasted) -> None:
    (order,) = json.loads(pasted.output)["orderGroup"]["orders"]
    assert [each["fundedBy"] for each in order["promotions"]] == ["PROMO_CODE_FUNDING_PLATFORM"]


def shows_orders(pasted: Pasted) -> None:
    assert json.loads(pasted.output).keys() <= {"orders", "nextPageToken"}  # the buyer may have bought nothing yet


def says_what_is_wrong(pasted: Pasted) -> None:
    for text in ("Code: InvalidArgument", '"reason":"VALIDATION_FAILED"', '"field":"variant_id"', "valid UUID"):
        assert text in pasted.output


def writes_the_contract(pasted: Pasted) -> None:
    assert re.fullmatch(r"marketplace\.binpb: \d+ files\.\n", pasted.output)


def is_what_the_tests_install(pasted: Pasted) -> None:
    assert set(pasted.command.split()[2:]) == set(NODE_PACKAGES)


LOOKS: dict[str, Callable[[Pasted], None]] = {
    rf"grpcurl -plaintext {ADDRESS} list": lists_services,
    rf"grpcurl -plaintext {ADDRESS} describe \S+": describes_a_method,
    r"grpcurl .*\"pageSize\": 2.* marketplace\.catalog\.v1\.CatalogService/ListProducts": shows_two_products,
    r"grpcurl .*\"query\": \"cofee\".*/SearchProducts": corrects_the_slip,
    r"grpcurl .*\"query\": \"cof\".*/SuggestProducts": suggests_coffee,
    r"(TOKEN|SELLER|VARIANT|GUEST|VISITOR|ADDRESS|QUOTE|PLACE)=\$\(.*\)": keeps_it,
    r"grpcurl .*Bearer \$GUEST.*/AddCartItem": fills_a_cart,
    r"grpcurl .*Bearer \$GUEST.*/ApplyPromoCode": takes_a_tenth_off,
    r"grpcurl .*Bearer \$VISITOR.*/PlaceOrder": places_an_order,
    r"echo .*photo\.jpg.*Bearer \$SELLER.*/UploadImageInline": uploads,
    r"(grpcurl|\.venv/bin/buf curl) .*Bearer \$TOKEN.*/ListOrders": shows_orders,
    r"grpcurl .*Bearer \$TOKEN.*/AddCartItem": says_what_is_wrong,
    r"\.venv/bin/marketd descriptors -o marketplace\.binpb": writes_the_contract,
    r"npm install .*": is_what_the_tests_install,
}
"""What each command has to do. A page that shows another one needs its look here."""
REFUSED = {says_what_is_wrong}


def look_at(command: str) -> Callable[[Pasted], None]:
    """What is expected of the command."""
    found = [look for pattern, look in LOOKS.items() if re.fullmatch(pattern, command)]
    assert len(found) == 1, f"LOOKS does not say what this has to do: {command}"
    return found[0]


def here(command: str, port: int) -> str:
    """The command as somebody writes it whose server has another port; nothing is installed."""
    if command.startswith("npm install"):
        return ":"
    moved = command.replace(ADDRESS, f"127.0.0.1:{port}")
    return moved.replace("marketd token", f"marketd token --target 127.0.0.1:{port}")


@pytest.mark.faults
def test_every_call_that_a_page_shows_does_what_it_says(with_demo: Served, tmp_path: Path) -> None:
    fetched("grpcurl")
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    Image.new("RGB", (640, 480), (190, 120, 60)).save(tmp_path / "photo.jpg")
    seen = set()
    for page in PAGES:
        for block in blocks(page, "sh"):
            if "grpcurl" not in block and "buf curl" not in block:
                continue
            wanted = commands(block)
            looks = [look_at(command) for command in wanted]
            results = paste_each([here(command, with_demo.port) for command in wanted], tmp_path)
            for command, look, result in zip(wanted, looks, results, strict=True):
                assert (result.code != 0) == (look in REFUSED), result
                look(Pasted(command, result.output, result.code))
                seen.add(look)
    assert seen == set(LOOKS.values()), "a look that no command needs any more"


@pytest.mark.faults
def test_readmes_program_for_node_shows_the_products_as_pasted(with_demo: Served, tmp_path: Path) -> None:
    node, packages = fetched("node"), fetched("node_modules")
    (program,) = blocks(README, "js")
    assert len(program.splitlines()) <= 10
    assert program.count(ADDRESS) == 1
    (tmp_path / "pasted.js").write_text(program.replace(ADDRESS, f"127.0.0.1:{with_demo.port}"))
    write_descriptors(tmp_path / "marketplace.binpb")
    shown = succeed(node, "pasted.js", folder=tmp_path, NODE_PATH=str(packages))
    assert len(shown.splitlines()) == 20
    assert "Greeting Card" in shown.splitlines()
