"""How a program of ours starts: `python -m marketd.process.quick_import marketd.worker …` runs that module's `main`.

What imports make stays as long as the process. The garbage collector would walk it again and again while it grows,
which takes an eighth of the time of a start, so it rests until the imports are done and passes over them from then on.
"""

from __future__ import annotations

import gc
import importlib
import sys
from types import ModuleType


def imported(name: str) -> ModuleType:
    """The module, imported with the collector at rest."""
    gc.disable()
    try:
        module = importlib.import_module(name)
        gc.collect()
        gc.freeze()
    finally:
        gc.enable()
    return module


if __name__ == "__main__":
    imported(sys.argv.pop(1)).main()
