"""The built page that is committed: it is what the sources build, it is small, and it loads nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from marketd.demo.defaults import PASSWORD, VISITOR_EMAIL

from tests.worlds.browser import HELLO
from tests.worlds.foreign import ROOT, TOOLS, fetched, succeed

_BUILD = ROOT / "tools" / "build_web.py"
_DIST = HELLO / "dist"


def test_it_is_what_the_sources_build() -> None:
    fetched("hello")
    succeed(sys.executable, _BUILD, "--check")


@pytest.mark.faults
def test_its_sources_have_no_type_that_does_not_fit() -> None:
    fetched("hello")
    succeed(sys.executable, _BUILD, "--check")  # the stubs
    succeed(TOOLS / "node", "node_modules/typescript/bin/tsc", folder=HELLO)


def test_it_runs_no_script_of_its_markup_and_names_no_other_address() -> None:
    page = (_DIST / "index.html").read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert re.findall(r"<script(?![^>]* src=)|\son\w+=|\sstyle=|<style", page) == []
    named = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert [name for name in named if not (name.startswith("#") or (_DIST / name).is_file())] == []
    assert "url(" not in (_DIST / "hello.css").read_text()


def test_its_login_is_the_demos() -> None:
    source = (HELLO / "src" / "signin.ts").read_text()
    assert (f'"{VISITOR_EMAIL}"' in source, f'"{PASSWORD}"' in source) == (True, True)


def test_without_its_packages_the_build_says_what_to_do(tmp_path: Path) -> None:
    copy = tmp_path / "tools" / "build_web.py"
    copy.parent.mkdir()
    copy.write_text(_BUILD.read_text())
    done = subprocess.run([sys.executable, copy], capture_output=True, text=True, check=False)
    assert (done.returncode, "make .tools/.complete" in done.stdout) == (1, True)
