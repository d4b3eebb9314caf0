"""The server and its client are two distributions of one version, which lie side by side."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from importlib.metadata import version
from pathlib import Path

import marketd
import marketplace_client
import pytest

from tests.packages import CLIENT, ROOT, built, requirements


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the distributions of this module are made."""
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def server_wheel(folder: Path) -> Path:
    """The server's wheel."""
    return built(ROOT, folder)


@pytest.fixture(scope="module")
def client_wheel(folder: Path) -> Path:
    """The client's wheel."""
    return built(CLIENT, folder)


def files(wheel: Path) -> set[str]:
    """The files that a wheel installs, without what says so."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def tops(wheel: Path) -> set[str]:
    """The packages of a wheel."""
    return {name.partition("/")[0] for name in files(wheel)}


def test_server_and_client_are_of_one_version_and_the_server_asks_for_just_that(server_wheel: Path) -> None:
    assert marketplace_client.__version__ == marketd.__version__
    asked = [str(each) for each in requirements(server_wheel) if each.name == "marketplace-client"]
    assert asked == [f"marketplace-client=={marketd.__version__}"]


def test_both_take_the_same_versions_of_what_both_need(server_wheel: Path, client_wheel: Path) -> None:
    of_server = {each.name: str(each) for each in requirements(server_wheel)}
    of_client = {each.name: str(each) for each in requirements(client_wheel)}
    assert set(of_client) == {"grpcio", "protobuf", "googleapis-common-protos"}
    assert {name: of_server[name] for name in of_client} == of_client


def test_no_file_is_in_both_wheels(server_wheel: Path, client_wheel: Path) -> None:
    assert tops(server_wheel) == {"marketd"}
    assert tops(client_wheel) == {"marketplace", "marketplace_client", "buf"}


def test_every_package_says_that_it_is_typed(server_wheel: Path, client_wheel: Path) -> None:
    for wheel in (server_wheel, client_wheel):
        assert {f"{package}/py.typed" for package in tops(wheel)} <= files(wheel)


@pytest.mark.parametrize("source", [ROOT, CLIENT], ids=["server", "client"])
def test_the_source_archive_makes_the_same_wheel(
    source: Path, folder: Path, tmp_path: Path, server_wheel: Path, client_wheel: Path
) -> None:
    subprocess.run(["tar", "-xzf", built(source, folder, "sdist"), "-C", tmp_path], check=True)
    (unpacked,) = tmp_path.iterdir()
    again = built(unpacked, tmp_path / "again")
    assert files(again) == files(server_wheel if source is ROOT else client_wheel)


def test_the_clients_folder_is_enough_to_make_its_wheel(tmp_path: Path, client_wheel: Path) -> None:
    shutil.copytree(CLIENT, tmp_path / "client", ignore=shutil.ignore_patterns("__pycache__"))
    assert files(built(tmp_path / "client", tmp_path / "out")) == files(client_wheel)


def test_both_carry_the_same_license_and_both_guides_show_the_same_program() -> None:
    assert (CLIENT / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    programs = [
        path.read_text().split("```python\n")[1].split("```")[0] for path in (ROOT / "README.md", CLIENT / "README.md")
    ]
    assert programs[0] == programs[1]


def test_both_came_with_the_command_that_made_this_environment() -> None:
    assert {version(name) for name in ("marketd", "marketplace-client")} == {marketd.__version__}
