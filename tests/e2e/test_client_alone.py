"""The client as somebody else installs it: it alone, with what it declares, and README's program as it stands there."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from marketd.demo.seed import seed
from marketd.process.process import App
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace_client import MarketplaceClient

from tests.packages import CLIENT, ROOT, built, lay_out

MOST_BYTES = 35_000_000
# -I and -S leave only the standard library on the path; this adds one folder and runs a program.
LAUNCH = "import runpy, sys; sys.path.append(sys.argv[1]); runpy.run_path(sys.argv[2], run_name='__main__')"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site-packages with the client's wheel and what it declares, and nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    lay_out(built(CLIENT, folder), folder / "site")
    return folder / "site"


async def run(program: Path, site: Path) -> tuple[int | None, str, str]:
    """Run a program on this site-packages alone; its exit code, what it printed and what it complained of."""
    command = [sys.executable, "-I", "-S", "-c", LAUNCH, str(site), str(program)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=program.parent, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def readme_program(target: str) -> str:
    """The one Python program of README.md, with this address in place of the one that `make run` serves on."""
    (program,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert program.count('"127.0.0.1:50051"') == 1
    return str(program).replace("127.0.0.1:50051", target)


async def test_the_program_in_the_readme_runs_as_pasted_with_the_client_alone(
    app: App, admin: tuple[str, str], site: Path, tmp_path: Path
) -> None:
    target = f"127.0.0.1:{app.port}"
    await seed(target, *admin)
    (tmp_path / "pasted.py").write_text(readme_program(target))
    code, out, err = await run(tmp_path / "pasted.py", site)
    assert (code, err) == (0, "")
    async with MarketplaceClient(target) as client:
        page = await client.catalog.ListProducts(catalog_service_pb2.ListProductsRequest(page_size=20))
    assert out.splitlines() == [product.title for product in page.products] != []


async def test_every_module_of_the_client_imports_alone(site: Path, tmp_path: Path) -> None:
    folders = ("marketplace_client", "marketplace", "buf")
    modules = [
        ".".join(path.relative_to(site).with_suffix("").parts)
        for folder in folders
        for path in (site / folder).rglob("*.py")
    ]
    assert len(modules) > 80
    (tmp_path / "all.py").write_text("".join(f"import {module}\n" for module in modules))
    assert await run(tmp_path / "all.py", site) == (0, "", "")


@pytest.mark.parametrize("module", ["marketd", "grpc_status", "protovalidate"])
async def test_nothing_of_the_server_is_there(site: Path, tmp_path: Path, module: str) -> None:
    (tmp_path / "missing.py").write_text(f"import {module}\n")
    code, _, err = await run(tmp_path / "missing.py", site)
    assert code == 1
    assert f"No module named '{module}'" in err


def test_it_is_small(site: Path) -> None:
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) <= MOST_BYTES
