"""The page "Adding a slice" is gone by the letter in a copy of the tree, and the new rpc is called there.

What the page says to add in shared lists is then taken out line by line: each time a test fails, by its name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from marketd.schema import revision

from tests.contract.pages import additions, write_files

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adding-a-slice.md").read_text()
FOLDERS = ("server", "protos", "clients", "migrations", "tests", "tools", "docs", ".third_party")
FILES = ("pyproject.toml", "buf.yaml", ".importlinter", "README.md", "LICENSE")

CLIENT = "tests/unit/test_client_services.py::test_the_client_knows_exactly_the_methods_that_the_server_serves"

# Signs the guestbook twice under one request id, hands the event on, sweeps, and checks the invariants.
VISIT = """
import asyncio, sys, uuid
from marketd import app as composition
from marketd.commands.check import check_database
from marketd.config import Environment, Settings
from marketplace.guestbook.v1 import guestbook_service_pb2 as pb
from marketplace_client import MarketplaceClient
from pydantic import SecretStr

async def main(url):
    settings = Settings(env=Environment.TEST, database_url=SecretStr(url), port=0, bcrypt_cost=4, run_worker=False)
    app = await composition.build(settings)
    await app.start()
    async with MarketplaceClient(f"127.0.0.1:{app.port}") as client:
        await client.register("kim@example.com", "a long enough password")
        request = pb.SignGuestbookRequest(request_id=str(uuid.uuid4()), text="Good coffee.")
        first = await client.guestbook.SignGuestbook(request)
        assert await client.guestbook.SignGuestbook(request) == first
        print(first.guestbook_entry.text)
    while await app.core.relay.run_once():
        pass
    async def handled(unit):
        return await unit.connection.fetchval("SELECT count(*) FROM handled_events WHERE handler = 'guestbook.greet'")
    print("handled", await app.parts.tx.read(handled))
    [sweep] = [s for room in composition.SLICES for s in room.build(app.parts).sweeps if s.unit == "guestbook.sweep"]
    print("swept", await app.parts.tx.run(sweep.unit, sweep.delete))
    print("broken", [finding for finding in await check_database(url) if not finding.is_ok])
    await app.stop(1)

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree in which the page was followed."""
    root = tmp_path_factory.mktemp("house")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, root / name)
    head = revision.head()
    number = f"{int(head) + 1:0{len(head)}}"
    page = PAGE.replace("9000", number).replace('"HEAD"', f'"{head}"')
    written = write_files(page, root)
    assert len(written) > 10
    for addition in additions(page):
        addition.make(root)
    run(root, sys.executable, "tools/generate_stubs.py")
    return root


def run(root: Path, *argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run something of this environment on the copy; it must end well."""
    result = attempt(root, *argv, **variables)
    assert result.returncode == 0, result.stdout[-4000:]
    return result


def attempt(root: Path, *argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run something of this environment on the copy, however it ends. Its output is one text."""
    scripts = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(str(root / path) for path in ("server", "clients/python")),
        **variables,
    }
    return subprocess.run(
        argv, cwd=root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )


@pytest.mark.faults
async def test_the_page_leads_to_an_rpc_that_is_served(tree: Path, database_url: str) -> None:
    run(tree, sys.executable, "-m", "marketd", "migrate", "--quiet", MARKETD_DATABASE_URL=database_url)
    visit = run(tree, sys.executable, "-c", VISIT, database_url)
    said = visit.stdout.splitlines()
    assert said[-1] == "broken []"
    assert {"Good coffee.", "handled 1", "swept 0"} <= set(said)
    assert sum("guestbook_signed" in line for line in said) == 1, "the handler ran once"


@pytest.mark.faults
def test_what_the_page_writes_is_in_good_style(tree: Path) -> None:
    run(tree, "ruff", "check", "server/marketd/guestbook", "server/marketd/app.py", "migrations", "tests/e2e/matrix")
    run(tree, "ruff", "format", "--check", "server/marketd/guestbook", "migrations", "tests/e2e/matrix")
    run(tree, "buf", "lint")
    run(tree, "buf", "format", "--diff", "--exit-code", "protos")


@pytest.mark.faults
@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("    Room(guestbook, guestbook.build),", "tests/contract/test_house.py::test_every_wiring_stands_in_app"),
        ("    guestbook", "tests/contract/test_house.py::test_floors_and_rooms_hold"),
        ("    guestbook = Service(GuestbookServiceStub)", CLIENT),
    ],
)
def test_without_a_line_of_the_lists_a_test_fails_by_name(tree: Path, missing: str, named: str) -> None:
    [gone] = [found for found in additions(PAGE) if found.line == missing]
    gone.undo(tree)
    try:
        assert_fails(tree, named)
    finally:
        gone.make(tree)


@pytest.mark.faults
def test_without_its_recipe_a_test_fails_by_name(tree: Path) -> None:
    recipe = tree / "tests/e2e/matrix/recipes_guestbook.py"
    text = recipe.read_text()
    recipe.unlink()
    try:
        assert_fails(tree, "tests/e2e/matrix/test_access.py::test_every_method_has_a_recipe_and_every_recipe_a_method")
    finally:
        recipe.write_text(text)


def assert_fails(root: Path, named: str) -> None:
    """The test of this name, and no other, fails in the copy."""
    result = attempt(root, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", named)
    assert result.returncode == 1, result.stdout[-2000:]
    assert f"FAILED {named}" in result.stdout
