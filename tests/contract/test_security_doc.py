"""docs/security.md names tests that exist, and each requirement once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
# The page's own short forms.
SHORT = {"auth/": "integration/auth/", "matrix/": "e2e/matrix/"}


def faults(text: str) -> list[str]:
    """What is wrong with the page."""
    found = []
    for path, name in re.findall(r"`([\w/]+\.py)::(\w+)`", text):
        whole = next((long + path[len(short) :] for short, long in SHORT.items() if path.startswith(short)), path)
        file = TESTS / whole
        if not file.is_file() or not re.search(rf"def {name}\(", file.read_text()):
            found.append(f"{path}::{name} does not exist")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| V")]
    ids = [one for row in rows for one in re.findall(r"V\d+\.\d+\.\d+", row)]
    found += [f"{one} stands twice" for one in sorted(set(ids)) if ids.count(one) > 1]
    return found if ids else ["no requirement stands there"]


def test_the_page_names_tests_that_exist_and_each_requirement_once() -> None:
    assert faults((ROOT / "docs" / "security.md").read_text()) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("| V6.2.1 | met | `auth/test_users.py::test_nothing` |", "auth/test_users.py::test_nothing does not exist"),
        ("| V6.2.1 | met | here |\n| V6.2.1 | not met | there |", "V6.2.1 stands twice"),
        ("nothing", "no requirement stands there"),
    ],
)
def test_a_page_that_is_wrong_is_found(text: str, fault: str) -> None:
    assert faults(text) == [fault]
