"""The `.env` file: what it adds to the environment, what goes before it, and how a broken one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from marketd.process.env_file import EnvFile, EnvFileUnusable, take_env_file

SECRET = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_need_be_no_file() -> None:
    assert take_env_file({}) is None


def test_its_variables_are_added_and_those_of_the_environment_go_before(folder: Path) -> None:
    (folder / ".env").write_text(
        "# settings of the shop\n"
        "MARKETD_PORT=7\nexport marketd_lease='10'\nMARKETD_WORKERS=3\nMARKETD_SHOP_NAME=\"Mill Lane\"\n"
        "MARKETD_SECRET=a${HOME}$b\nMARKETD_PROT=1\nPATH=/nowhere\n"
    )
    environment = {"marketd_workers": "2", "HOME": "/root", "PATH": "/bin"}
    took = take_env_file(environment)
    assert took is not None
    assert took.names == (*("MARKETD_LEASE", "MARKETD_PORT", "MARKETD_PROT", "MARKETD_SECRET", "MARKETD_SHOP_NAME"),)
    assert environment == {
        "marketd_workers": "2",
        "HOME": "/root",
        "PATH": "/bin",
        "MARKETD_PORT": "7",
        "MARKETD_LEASE": "10",
        "MARKETD_SHOP_NAME": "Mill Lane",
        "MARKETD_PROT": "1",
        "MARKETD_SECRET": "a${HOME}$b",
    }


def test_an_editor_of_windows_may_have_written_it(folder: Path) -> None:
    (folder / ".env").write_bytes("\ufeffMARKETD_PORT=7\r\nMARKETD_CURRENCY=CHF\r\n".encode())
    environment: dict[str, str] = {}
    take_env_file(environment)
    assert environment == {"MARKETD_PORT": "7", "MARKETD_CURRENCY": "CHF"}


def test_lines_that_are_common_in_such_files_are_read_as_they_are_meant(folder: Path) -> None:
    (folder / ".env").write_bytes(
        b"\xef\xbb\xbf# MARKETD_PORT=5000 the old one\r\n#MARKETD_PORT=5001\r\n\r\n   # export MARKETD_PORT\r\n"
        b"JUST A WORD # see MARKETD_PORT\r\n# MARKETD_SECRET='never closed\r\n\r\n"
        b'export MARKETD_PORT=7 # MARKETD_PORT=8\r\n\r\n"MARKETD_LEASE"=10\r\n\'MARKETD_WORKERS\' = "3"\r\n'
        b"MARKETD_CURRENCY=\r\nMARKETD_SHOP_NAME='Mill # Lane'\r\n  \t\r\n#MARKETD_PORT"
    )
    environment: dict[str, str] = {}
    take_env_file(environment)
    assert environment == {
        "MARKETD_PORT": "7",
        "MARKETD_LEASE": "10",
        "MARKETD_WORKERS": "3",
        "MARKETD_CURRENCY": "",
        "MARKETD_SHOP_NAME": "Mill # Lane",
    }


def test_another_file_may_be_named_or_none(folder: Path) -> None:
    (folder / ".env").write_text("MARKETD_PORT=7\n")
    (folder / "shop.env").write_text("MARKETD_PORT=8\n")
    assert take_env_file({"MARKETD_ENV_FILE": ""}) is None
    assert take_env_file({"MARKETD_ENV_FILE": "shop.env"}) == EnvFile(Path("shop.env"), ("MARKETD_PORT",))
    with pytest.raises(EnvFileUnusable, match=r"not\.there cannot be read"):
        take_env_file({"MARKETD_ENV_FILE": "not.there"})


@pytest.mark.parametrize(
    "line",
    [
        f"MARKETD_SECRET='{SECRET}",
        f"MARKETD_SECRET {SECRET}",
        "MARKETD_SECRET",
        "MARKETD_SECRET # none",
        "export MARKETD_SECRET",
        f"set MARKETD_SECRET={SECRET}",
        f"MARKETD_SECRET={SECRET}\0",
    ],
)
def test_a_broken_line_is_named_by_its_number_and_never_shown(folder: Path, line: str) -> None:
    (folder / ".env").write_text(f"JUST A WORD\n\nMARKETD_PORT=7\n\n\n  {line}\n")
    environment: dict[str, str] = {}
    with pytest.raises(EnvFileUnusable, match=r"line 6 of \.env is not NAME=value") as refused:
        take_env_file(environment)
    assert SECRET not in str(refused.value)
    assert environment == {}, "nothing of a broken file is taken"


def test_broken_lines_of_others_are_their_business(folder: Path) -> None:
    (folder / ".env").write_text("OTHER='still open\nJUST_A_WORD\nMARKETD_PORT=7\n")
    environment: dict[str, str] = {}
    take_env_file(environment)
    assert environment == {"MARKETD_PORT": "7"}


def test_what_is_no_text_and_a_folder_that_is_named_are_refused(folder: Path) -> None:
    (folder / ".env").write_bytes("MARKETD_SHOP_NAME=Bäckerei".encode("latin-1"))
    with pytest.raises(EnvFileUnusable, match=r"\.env is no text in UTF-8"):
        take_env_file({})
    (folder / ".env").unlink()
    (folder / ".env").mkdir()
    with pytest.raises(EnvFileUnusable, match=r"\.env cannot be read \(Is a directory\)"):
        take_env_file({"MARKETD_ENV_FILE": ".env"})


def test_a_virtual_environment_of_the_usual_name_is_no_such_file(folder: Path) -> None:
    (folder / ".env").mkdir()
    (folder / ".env" / "pyvenv.cfg").write_text("MARKETD_PORT 7\n")
    assert take_env_file({}) is None
