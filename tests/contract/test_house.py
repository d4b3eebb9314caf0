"""The house's own checks run here, and each is shown to fail on a planted violation."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tools import generate_docs

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
TOP = {
    *("protos", "server", "clients", "migrations", "tests", "media", "buf.yaml", "pyproject.toml", "README.md"),
    *(
        ".ci",
        ".github",
        ".gitignore",
        ".importlinter",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "constraints.txt",
        "deploy",
        "docs",
        "tools",
    ),
}
LARGE_BYTES = 1_000_000
# A file that is longer has a second subject.
MOST_LINES = 450
STUBS = tuple(f"clients/python/{package}/" for package in ("buf", "google", "marketplace"))


def run(*argv: str, cwd: Path = ROOT, python_path: Sequence[Path] = ()) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment; its output is one text."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    if python_path:
        environment["PYTHONPATH"] = os.pathsep.join(str(path) for path in python_path)
    return subprocess.run(
        argv, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )


def passes(*argv: str) -> None:
    """The tool is content with the tree; its words are the failure's message otherwise."""
    result = run(*argv)
    assert result.returncode == 0, result.stdout[-4000:]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the checks read, to plant something in."""
    for name in ("server", "protos", "clients", ".third_party"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "buf.yaml", ".importlinter"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def tracked() -> list[str]:
    """The files that git knows and that are here, from the top."""
    listed = run("git", "ls-files", "-z")
    if listed.returncode != 0:
        pytest.skip("this is no checkout of git")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_nothing_lies_at_the_top_that_does_not_belong_there() -> None:
    """A stray download that is committed by accident stays in everybody's clone for good."""
    files = tracked()
    assert {name.partition("/")[0] for name in files} <= TOP
    assert [name for name in files if (ROOT / name).stat().st_size > LARGE_BYTES] == []


def test_no_file_of_ours_is_longer_than_one_subject() -> None:
    ours = [name for name in tracked() if name.endswith(".py") and not name.startswith(STUBS)]
    assert len(ours) > 100
    assert [name for name in ours if len((ROOT / name).read_text().splitlines()) > MOST_LINES] == []


def test_long_forms_are_marked_in_their_own_file() -> None:
    """`make check` imports no file of tests whose text has no such mark (tests/conftest.py)."""
    others = [name for name in tracked() if name.startswith("tests/") and not Path(name).name.startswith("test_")]
    marks = re.compile(r"\bmark\.(?:faults|alone)\b")
    assert [name for name in others if name.endswith(".py") and marks.search((ROOT / name).read_text())] == []


def test_ruff_finds_nothing() -> None:
    passes("ruff", "check", ".")


def test_every_file_is_formatted() -> None:
    passes("ruff", "format", "--check", ".")
    passes("buf", "format", "--diff", "--exit-code", "protos")


@pytest.mark.slow
def test_types_are_strict_and_hold() -> None:
    """With the cache of `make lint`: what has not changed since, nor what it imports, is not looked at again."""
    passes("mypy")


def test_every_wiring_stands_in_app() -> None:
    """A slice that nobody lists would be tested by itself and served by no one."""
    wirings = {path.parent.name for path in (ROOT / "server" / "marketd").rglob("wiring.py")}
    listed = re.findall(r"^    Room\(\n? *(\w+),", (ROOT / "server" / "marketd" / "app.py").read_text(), re.MULTILINE)
    assert sorted(wirings) == sorted(listed)


def test_the_composition_root_is_a_list() -> None:
    assert len((ROOT / "server" / "marketd" / "app.py").read_text().splitlines()) <= 150


def test_nothing_lies_loose_at_the_top_of_the_server() -> None:
    loose = {path.name for path in (ROOT / "server" / "marketd").glob("*.py")}
    assert loose == {"__init__.py", "__main__.py", "app.py", "cli.py", "worker.py"}


def test_pages_made_from_the_code_are_up_to_date() -> None:
    assert list(generate_docs.stale_pages()) == [], "run `make docs`"


def test_every_list_is_answered_by_the_pager_and_by_nothing_else_of_the_kernel() -> None:
    """But for the caller, whom every method asks for first."""
    lists: list[str] = []
    for path in (ROOT / "server" / "marketd").rglob("servicer.py"):
        for method in ast.walk(ast.parse(path.read_text())):
            if isinstance(method, ast.AsyncFunctionDef) and method.name.startswith("List"):
                body = ast.unparse(method)
                assert body.count("self._pager.list(") == 1, f"{path}: {method.name}"
                used = set(re.findall(r"self\.(_\w+)|\b(calls\.current\w*)", body))
                assert used <= {
                    ("_pager", ""),
                    ("_rules", ""),
                    ("_audited", ""),
                    ("_media_url", ""),
                    ("_quota", ""),
                    ("_show_own", ""),
                    ("", "calls.current_caller"),
                    ("", "calls.current"),
                }
                lists.append(method.name)
    assert len(lists) >= 10


def test_floors_and_rooms_hold() -> None:
    passes("lint-imports", "--no-cache")


def test_no_module_leads_back_to_itself() -> None:
    """Floors are between rooms; this is about the modules inside of them, too."""
    graph = grimp.build_graph("marketd", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 300
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


def test_the_contract_passes_buf_lint() -> None:
    passes("buf", "lint")


def test_what_is_stable_in_the_contract_breaks_nobody() -> None:
    passes(sys.executable, "tools/check_stable.py")


def test_stubs_are_up_to_date() -> None:
    passes(sys.executable, "tools/generate_stubs.py", "--check")


def test_what_looks_where_it_may_not_is_found(copy: Path) -> None:
    """A slice upstairs, a service at grpc, the client at the server: each planted, and each named."""
    for path, line in (
        ("server/marketd/cart/planted.py", "from marketd.order import service"),
        ("server/marketd/order/planted.py", "import grpc"),
        ("clients/python/marketplace_client/planted.py", "from marketd import config"),
    ):
        (copy / path).write_text(f'"""Planted."""\n\n{line}\n')
    result = run("lint-imports", "--no-cache", cwd=copy, python_path=(copy / "server", copy / "clients/python"))
    assert result.returncode != 0
    for found in (
        "marketd.cart.planted -> marketd.order",
        "marketd.order.planted -> grpc",
        "marketplace_client.planted -> marketd.config",
    ):
        assert found in result.stdout


def test_a_field_without_a_comment_is_found(copy: Path) -> None:
    path = copy / "protos/marketplace/order/v1/order.proto"
    path.write_text(path.read_text() + "\n// A planted message.\nmessage Planted {\n  string planted = 1;\n}\n")
    result = run("buf", "lint", cwd=copy)
    assert result.returncode != 0
    assert "planted" in result.stdout


@pytest.mark.parametrize(
    ("file", "gone", "named"),
    [
        ("server/v1/server_service.proto", "string contract_digest =", "contract_digest"),
        ("server/v1/server_service.proto", "rpc GetServerInfo(", "GetServerInfo"),
        ("delivery/v1/delivery.proto", "string order_number =", ""),
    ],
    ids=["a field of a STABLE method's answer", "a STABLE method", "a field that only BETA methods have"],
)
def test_what_is_renamed_breaks_the_contract_where_it_was_stable(
    tmp_path: Path, file: str, gone: str, named: str
) -> None:
    for name in ("protos", ".third_party", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    path = tmp_path / "protos/marketplace" / file
    text = path.read_text()
    assert gone in text
    path.write_text(text.replace(gone, re.sub(r"(contract|order|Get)", r"\1x", gone, count=1)))
    result = run(sys.executable, "tools/check_stable.py", cwd=tmp_path)
    assert result.returncode == bool(named), result.stdout
    assert named in result.stdout


def test_an_untyped_function_and_a_print_are_found(copy: Path) -> None:
    path = copy / "server/marketd/kernel/planted.py"
    path.write_text('"""Planted."""\n\n\ndef planted(x):\n    print(x)\n')
    assert "T201" in run("ruff", "check", str(path), cwd=copy).stdout
    result = run("mypy", str(path), cwd=copy)
    assert result.returncode != 0
    assert "no-untyped-def" in result.stdout


@pytest.mark.faults
def test_stale_stubs_are_found(copy: Path) -> None:
    shutil.copytree(ROOT / "tools", copy / "tools")
    path = copy / "protos/marketplace/order/v1/order.proto"
    path.write_text(path.read_text() + "\n// A planted message.\nmessage Planted {}\n")
    result = run(sys.executable, "tools/generate_stubs.py", "--check", cwd=copy)
    assert result.returncode == 1
    assert "marketplace/order/v1/order_pb2.py" in result.stdout
