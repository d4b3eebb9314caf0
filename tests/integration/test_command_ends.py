"""How commands end on a database that fits: the exit code says what became of it, and options do what they say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from marketd.cli import application
from marketd.kernel.db.transactor import Transactor
from typer.testing import CliRunner, Result

from tests.worlds.catalog_files import Shop, cup, file, size

GOOD = file(size("S", Published="true", Status="active"), size("L", Published="true", Status="active"))
HALF = file(size("S"), cup(Handle="mug", Title="Mug", VariantPrice="free"))


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    """A shop without products."""
    return await Shop(tx).open()


async def marketd(database_url: str, *arguments: str, **settings: str) -> Result:
    """Run a command on a thread, since it has a loop of its own."""
    runner = CliRunner(env={"MARKETD_DATABASE_URL": database_url, **settings})
    return await asyncio.to_thread(lambda: runner.invoke(application(arguments), arguments))


async def count(tx: Transactor, what: str) -> Any:
    """How many there are: `products WHERE …`."""
    return await tx.read(lambda unit: unit.connection.fetchval(f"SELECT count(*) FROM {what}"))


async def test_an_import_ends_with_0_when_all_came_in_with_1_when_rows_were_refused_and_with_2_for_no_shop(
    tx: Transactor, shop: Shop, database_url: str, tmp_path: Path
) -> None:
    good, half = tmp_path / "good.csv", tmp_path / "half.csv"
    good.write_bytes(GOOD)
    half.write_bytes(HALF)
    to_shop = ("--seller", shop.seller_id.hex)

    async def brought(path: Path, *options: str, **settings: str) -> Result:
        return await marketd(database_url, "import-products", str(path), *to_shop, *options, **settings)

    ran = await brought(good, "--dry-run")
    assert (ran.exit_code, await count(tx, "products")) == (0, 0), ran.output
    assert "Would import a Shopify file: 1 product" in ran.stdout
    ran = await brought(half, "--on-error", "reject-all")
    assert (ran.exit_code, await count(tx, "products")) == (1, 0)
    assert "1 rows cannot be imported, so nothing was changed" in ran.stderr
    ran = await brought(half, "--on-error", "reject-all", "--json")
    assert (ran.exit_code, json.loads(ran.stdout)["rows"]) == (1, 1)
    ran = await brought(good, MARKETD_CURRENCY="JPY")
    assert (ran.exit_code, await count(tx, "products")) == (1, 0), "4.50 is no price in yen"
    ran = await brought(half)
    assert (ran.exit_code, await count(tx, "products")) == (1, 1)
    assert "Refused (1 row):" in ran.stdout
    ran = await brought(half, "--json")
    assert (ran.exit_code, json.loads(ran.stdout)["rows_rejected"]) == (1, 1)
    assert await count(tx, "products WHERE state = 'DRAFT'") == 1
    ran = await brought(good)
    assert (ran.exit_code, await count(tx, "variants")) == (0, 1), "what is there stays"
    ran = await brought(good, "--update-existing", "--publish", "--json")
    assert (ran.exit_code, json.loads(ran.stdout)["products_updated"]) == (0, 1)
    assert (await count(tx, "variants"), await count(tx, "products WHERE state = 'PUBLISHED'")) == (2, 1)

    ran = await marketd(database_url, "import-products", str(good), "--seller", "nobodys-shop")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.startswith("marketd: --seller nobodys-shop: no shop has this handle or id")
    await tx.run("test.close", lambda uow: uow.connection.execute("UPDATE sellers SET state = 'CLOSED'"))
    ran = await brought(good)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"marketd: --seller {shop.seller_id.hex}: ")


async def test_an_export_has_the_products_of_the_states_that_are_named_and_2_is_no_shop_or_no_file(
    tx: Transactor, shop: Shop, database_url: str, tmp_path: Path
) -> None:
    await shop.bring(file(cup(), cup(Handle="mug", Title="Mug")))
    await tx.run(
        "test.publish",
        lambda uow: uow.connection.execute("UPDATE products SET state = 'PUBLISHED' WHERE slug = 'mug'"),
    )
    written = tmp_path / "out.csv"
    for options, handles in (
        ((), {"cup", "mug"}),
        (("--state", "published"), {"mug"}),
        (("--state", "draft"), {"cup"}),
    ):
        arguments = ("export-products", "--seller", shop.seller_id.hex, "--output", str(written), *options)
        ran = await marketd(database_url, *arguments)
        assert ran.exit_code == 0, ran.output
        rows = written.read_text(encoding="utf-8").splitlines()[1:]
        assert {row.partition(",")[0] for row in rows} == handles
    ran = await marketd(database_url, "export-products", "--seller", "nobodys-shop")
    assert (ran.exit_code, ran.stdout) == (2, "")
    nowhere = tmp_path / "none" / "out.csv"
    ran = await marketd(database_url, "export-products", "--seller", shop.seller_id.hex, "--output", str(nowhere))
    assert (ran.exit_code, ran.stdout) == (2, "")


async def test_check_and_migrate_say_by_their_exit_code_how_it_stands(tx: Transactor, database_url: str) -> None:
    assert (await marketd(database_url, "check")).exit_code == 0
    assert (await marketd(database_url, "migrate", "--check")).exit_code == 0
    ran = await marketd(database_url, "migrate")
    assert (ran.exit_code, ran.stdout) == (0, "Schema is current.\n")
    ran = await marketd(database_url, "migrate", "--quiet")
    assert (ran.exit_code, ran.stdout) == (0, "")
    await tx.run(
        "test.stock",
        lambda uow: uow.connection.execute(
            "INSERT INTO stocks (variant_id, seller_id, on_hand, create_time, update_time)"
            " SELECT id, id, 5, now(), now() FROM gen_random_uuid() AS id"
        ),
    )
    ran = await marketd(database_url, "check")
    assert (ran.exit_code, " NO " in ran.stdout) == (1, True)
    ran = await marketd(database_url, "check", "--json")
    said = json.loads(ran.stdout)
    assert (ran.exit_code, said["ok"]) == (1, False)
    assert [one["id"] for one in said["invariants"] if not one["ok"]] == ["I1"]


# Of a database that is not there: none of these gets so far.
AWAY = "postgresql://127.0.0.1:1/market"
PRODUCTION = {
    "MARKETD_ENV": "production",
    "MARKETD_SECRET": "Wm3kz8Qp4Tt6Yx1Rb7Nc5Vd2Fg9Hj0Ls",
    "MARKETD_PASSWORD_PEPPER": "p0Oi9Uy8Tr7Ew6Qa5Sd4Fg3Hj2Kl1Zx0",
    "MARKETD_TLS_TERMINATED_BY_PROXY": "true",
    "MARKETD_MAIL_DIR": "letters",
}


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--port", "0"),
        ("worker",),
        ("create-admin", "--email", "boss@shop.example", "--password-stdin"),
        ("disable-totp", "--login", "boss@shop.example"),
        ("keys", "rotate"),
    ],
    ids=lambda arguments: str(arguments[0]),
)
async def test_in_production_nothing_is_begun_with_secrets_that_are_none(arguments: tuple[str, ...]) -> None:
    ran = await marketd(AWAY, *arguments, MARKETD_ENV="production")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "marketd: MARKETD_SECRET is not set" in ran.stderr


async def test_demo_data_are_neither_for_production_nor_for_a_server_that_speaks_tls() -> None:
    ran = await marketd(AWAY, "serve", "--demo", **PRODUCTION)
    assert (ran.exit_code, ran.stdout) == (2, "")
    *advice, last = ran.stderr.splitlines()
    assert last == "marketd: --demo creates accounts with known passwords; it is not for production."
    named = ("MARKETD_TRUSTED_PROXY_HOPS is 0", "MARKETD_SMS_SENDER is not set", "MARKETD_SUPPORT_EMAIL is not set")
    assert [line.startswith(f"marketd: {each}") for line, each in zip(advice, named, strict=True)] == [True] * 3
    ran = await marketd(AWAY, "serve", "--demo", MARKETD_TLS_CERT_FILE="a.pem", MARKETD_TLS_KEY_FILE="a.key")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.startswith("marketd: --demo speaks to the server without TLS")


@pytest.mark.parametrize("email", ["boss", "boss@", "@shop.example", "boss@shop.example and more", "a@b@c"])
async def test_what_is_no_address_becomes_no_administrator(email: str) -> None:
    ran = await marketd(AWAY, "create-admin", "--email", email, "--password-stdin")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "is no e-mail address" in ran.stderr


async def test_a_factor_of_nobody_is_not_removed(database_url: str) -> None:
    ran = await marketd(database_url, "disable-totp", "--login", "nobody@shop.example")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.startswith("marketd: --login nobody@shop.example: ")
