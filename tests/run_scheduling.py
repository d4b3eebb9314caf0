"""A pytest plugin: which tests of a run come to the same worker (`--dist loadscope`).

Servers, worlds and databases are shared by the tests of one process, and to make one takes longer than most tests. So
what shares them stays together: a whole folder that has a server of its own, and otherwise a file.
"""

from __future__ import annotations

from typing import Any

import pytest

# The longest of those that contain it.
_TOGETHER = ("tests/faults/", "tests/e2e/matrix/", "tests/e2e/transport/", "tests/e2e/")
_EACH_FILE = ("tests/e2e/transport/",)
"""Each of its tests has a server of its own."""


def scope_of(nodeid: str) -> str:
    """What the test stays together with."""
    path = nodeid.partition("::")[0]
    folder = max((each for each in _TOGETHER if path.startswith(each)), key=len, default=path)
    return path if folder in _EACH_FILE else folder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out by our scopes, in the order that tests/conftest.py gave the tests: not the fullest scope first."""
    if config.getoption("dist") != "loadscope":
        return None
    # A run without workers needs none of it.
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # noqa: PLC0415

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc] # it has no types
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    config.option.loadscopereorder = False
    return Scheduling(config, log)
