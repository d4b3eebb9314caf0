"""Which tests of a run come to the same worker."""

from __future__ import annotations

import pytest

from tests.run_scheduling import scope_of


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/faults/test_kills.py::test_it", "tests/faults/"),
        ("tests/e2e/matrix/test_access.py::test_it[/a.B/C]", "tests/e2e/matrix/"),
        ("tests/e2e/identity/test_tokens.py::test_it", "tests/e2e/"),
        ("tests/e2e/test_demo.py::test_it", "tests/e2e/"),
        ("tests/e2e/transport/test_edge.py::TestIt::test_it[tests/faults/]", "tests/e2e/transport/test_edge.py"),
        ("tests/unit/test_tax.py::test_it", "tests/unit/test_tax.py"),
    ],
)
def test_tests_of_one_server_stay_together(nodeid: str, scope: str) -> None:
    assert scope_of(nodeid) == scope
