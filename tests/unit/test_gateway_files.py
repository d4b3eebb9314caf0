"""Which folders a gateway may serve whole, and where it leads for pictures in a bucket."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from marketd.commands.settings import require_static_folder
from marketd.config import Settings
from marketd.gateway.envoy import files
from marketd.gateway.static import StaticFolderUnfit, check_static_folder, hello_pages


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pages with a link that stays inside."""
    pages = tmp_path / "pages"
    (pages / "sub").mkdir(parents=True)
    (pages / "index.html").write_text("front")
    (pages / "sub" / "same.html").symlink_to(pages / "index.html")
    return pages


def test_a_folder_of_pages_alone_may_be_served(folder: Path, tmp_path: Path) -> None:
    check_static_folder(folder, (tmp_path / "media", tmp_path / ".marketd"))


def test_links_out_of_the_folder_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    for target in (tmp_path / "secret", tmp_path, tmp_path / "not there yet"):
        link = folder / "sub" / "way-out"
        link.symlink_to(target)
        with pytest.raises(StaticFolderUnfit, match=r"sub/way-out .* leads out of the folder"):
            check_static_folder(folder, ())
        link.unlink()


@pytest.mark.parametrize("inside", ["media", "sub/media", "."])
def test_a_folder_that_holds_pictures_or_data_is_refused(folder: Path, inside: str) -> None:
    with pytest.raises(StaticFolderUnfit, match="not for everybody"):
        check_static_folder(folder, (folder / inside,))


def test_a_pipe_among_the_pages_is_refused_since_whoever_opens_it_waits(folder: Path) -> None:
    os.mkfifo(folder / "sub" / "pipe")
    with pytest.raises(StaticFolderUnfit, match=r"sub/pipe .* is no file"):
        check_static_folder(folder, ())


def test_what_is_no_folder_is_refused(folder: Path) -> None:
    for path in (folder / "missing", folder / "index.html"):
        with pytest.raises(StaticFolderUnfit, match="is not a folder"):
            check_static_folder(path, ())


def test_a_command_ends_with_what_is_wrong_with_the_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_static_folder(Settings(gateway_static=folder, data_dir=tmp_path / "data"))
    require_static_folder(Settings())
    with pytest.raises(typer.Exit) as ended:
        require_static_folder(Settings(gateway_static=tmp_path, data_dir=tmp_path / "data"))
    assert ended.value.exit_code == 2
    assert "name a folder of pages alone" in capsys.readouterr().err
    for inside in ("data_dir", "media_dir"):
        private: dict[str, Any] = {"data_dir": tmp_path, "media_dir": tmp_path, inside: folder / "in"}
        with pytest.raises(typer.Exit):
            require_static_folder(Settings(gateway_static=folder, **private))
        assert f"holds {folder / 'in'}" in capsys.readouterr().err


def test_the_page_that_comes_with_it_is_there_and_may_be_served() -> None:
    pages = hello_pages()
    assert pages is not None
    check_static_folder(pages, ())


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://pictures.example/", "pictures.example", 443, "/"),
        ("http://127.0.0.1:8333/b/some%20folder/", "127.0.0.1", 8333, "/b/some%20folder/"),
        ("https://[2001:db8::1]/x/", "[2001:db8::1]", 443, "/x/"),
    ],
)
def test_a_bucket_is_where_its_address_says(url: str, host: str, port: int, path: str) -> None:
    redirect = files.media_redirect(url)["redirect"]
    assert (redirect["host_redirect"], redirect["port_redirect"]) == (host, port)
    assert redirect["scheme_redirect"] == url.partition(":")[0]
    assert redirect["regex_rewrite"]["substitution"] == path


def test_patterns_let_nothing_through_that_climbs_or_hides() -> None:
    for path in ("/.a", "/a/.b", "/a/../b", "/a//b", "/a%2fb", "/a%5Cb", "/a\\b", "/a%00", "/%2e%2e/a", "/a%25b", "a"):
        assert re.fullmatch(files.STATIC_PATH, path) is None
    for path in ("/", "/a", "/a/", "/a/b-1.2_3~(x).js", "/gr%C3%BC%C3%9Fe/a%20b.html", "/a..b"):
        assert re.fullmatch(files.STATIC_PATH, path)
