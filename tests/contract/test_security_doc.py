"""docs/security.md names each requirement once, with one of four states, and tests and files that exist."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
# The page's own short forms.
SHORT = {"auth/": "integration/auth/", "matrix/": "e2e/matrix/"}
STATES = ("met", "partly", "not met", "does not apply")

# OWASP ASVS 5.0.0: section, level and numbers; what is left out is of level 3.
LEVELS_1_AND_2 = """
1.1 L2 1-2 | 1.2 L1 1-5 L2 6-9 | 1.3 L1 1-2 L2 3-11 | 1.4 L2 1-3 | 1.5 L1 1 L2 2
2.1 L1 1 L2 2-3 | 2.2 L1 1-2 L2 3 | 2.3 L1 1 L2 2-4 | 2.4 L2 1
3.2 L1 1-2 | 3.3 L1 1 L2 2-4 | 3.4 L1 1-2 L2 3-6 | 3.5 L1 1-3 L2 4-5 | 3.7 L2 1-2
4.1 L1 1 L2 2-3 | 4.2 L2 1 | 4.3 L2 1-2 | 4.4 L1 1 L2 2-4
5.1 L2 1 | 5.2 L1 1-2 L2 3 | 5.3 L1 1-2 | 5.4 L2 1-3
6.1 L1 1 L2 2-3 | 6.2 L1 1-8 L2 9-12 | 6.3 L1 1-2 L2 3-4 | 6.4 L1 1-2 L2 3-4 | 6.5 L2 1-5 | 6.6 L2 1-3 | 6.8 L2 1-4
7.1 L2 1-3 | 7.2 L1 1-4 | 7.3 L2 1-2 | 7.4 L1 1-2 L2 3-5 | 7.5 L2 1-2 | 7.6 L2 1-2
8.1 L1 1 L2 2 | 8.2 L1 1-2 L2 3 | 8.3 L1 1 | 8.4 L2 1
9.1 L1 1-3 | 9.2 L1 1 L2 2-4
10.1 L2 1-2 | 10.2 L2 1-2 | 10.3 L2 1-4 | 10.4 L1 1-5 L2 6-11 | 10.5 L2 1-5 | 10.6 L2 1-2 | 10.7 L2 1-3
11.1 L2 1-2 | 11.2 L2 1-3 | 11.3 L1 1-2 L2 3 | 11.4 L1 1 L2 2-4 | 11.5 L2 1 | 11.6 L2 1
12.1 L1 1 L2 2-3 | 12.2 L1 1-2 | 12.3 L2 1-4
13.1 L2 1 | 13.2 L2 1-5 | 13.3 L2 1-2 | 13.4 L1 1 L2 2-5
14.1 L2 1-2 | 14.2 L1 1 L2 2-4 | 14.3 L1 1 L2 2-3
15.1 L1 1 L2 2-3 | 15.2 L1 1 L2 2-3 | 15.3 L1 1 L2 2-7
16.1 L2 1 | 16.2 L2 1-5 | 16.3 L2 1-4 | 16.4 L2 1-3 | 16.5 L2 1-3
17.1 L2 1 | 17.2 L2 1-4 | 17.3 L2 1-2
"""


def _listed() -> Iterator[tuple[str, int]]:
    for entry in LEVELS_1_AND_2.replace("\n", "|").split("|"):
        section, *parts = entry.split() or [""]
        for level, numbers in zip(parts[::2], parts[1::2], strict=True):
            first, _, last = numbers.partition("-")
            for number in range(int(first), int(last or first) + 1):
                yield f"V{section}.{number}", int(level[1])


REQUIREMENTS = dict(_listed())


def faults(text: str, wanted: Set[str]) -> list[str]:
    """What is wrong with a page on which these requirements are to stand."""
    found = []
    for path, name in re.findall(r"`([\w/]+\.py)::(\w+)`", text):
        whole = next((long + path[len(short) :] for short, long in SHORT.items() if path.startswith(short)), path)
        file = TESTS / whole
        if not file.is_file() or not re.search(rf"def {name}\(", file.read_text()):
            found.append(f"{path}::{name} does not exist")
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in text.splitlines() if line.startswith("| V")]
    for ids, state, why in rows:
        if state not in STATES or not why:
            found.append(f"{ids}: '{state}' with the reason '{why}' says nothing")
        for path in re.findall(r"`([\w/]+\.\w+)`", why):
            if not _is_file(path):
                found.append(f"{path} does not exist")
    count = Counter(one for ids, _, _ in rows for one in re.findall(r"V\d+\.\d+\.\d+", ids))
    found += [f"{one} stands twice" for one, times in sorted(count.items()) if times > 1]
    found += [f"{one} is missing" for one in sorted(wanted - count.keys())]
    found += [f"{one} is no requirement of these levels" for one in sorted(count.keys() - wanted)]
    return found


def _is_file(path: str) -> bool:
    if path.endswith(".proto"):
        return any((ROOT / "protos").rglob(path))
    return (ROOT / "server" / "marketd" / path).is_file() or (ROOT / path).is_file()


def test_the_page_names_each_requirement_once_and_tests_and_files_that_exist() -> None:
    assert faults((ROOT / "docs" / "security.md").read_text(), REQUIREMENTS.keys()) == []


def test_all_of_both_levels_are_listed() -> None:
    """As many as OWASP counts."""
    assert Counter(REQUIREMENTS.values()) == {1: 70, 2: 183}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("| V6.2.1 | met | `auth/test_users.py::test_nothing` |", "auth/test_users.py::test_nothing does not exist"),
        ("| V6.2.1 | met | `auth/nothing.py` |", "auth/nothing.py does not exist"),
        ("| V6.2.1 | met | `nothing.proto` |", "nothing.proto does not exist"),
        ("| V6.2.1 | met | here |\n| V6.2.1 | not met | there |", "V6.2.1 stands twice"),
        ("| V6.2.1 | fine | here |", "V6.2.1: 'fine' with the reason 'here' says nothing"),
        ("| V6.2.1 | met | |", "V6.2.1: 'met' with the reason '' says nothing"),
        ("| V6.2.1, V6.7.1 | met | here |", "V6.7.1 is no requirement of these levels"),
        ("nothing", "V6.2.1 is missing"),
    ],
)
def test_a_page_that_is_wrong_is_found(text: str, fault: str) -> None:
    assert faults(text, {"V6.2.1"}) == [fault]
