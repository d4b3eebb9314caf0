"""Memory that was freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest
from marketd.process import memory

# Blocks too large for Python's own allocator, of which one in a hundred stays and holds the pages between in place.
_PROGRAM = """
from marketd.process.memory import give_back, resident_bytes
blocks = [bytes(2_000) for _ in range(60_000)]
few = blocks[::100]
full = resident_bytes()
del blocks
freed = resident_bytes()
assert give_back()
print(full, freed, resident_bytes(), len(few))
"""


@pytest.mark.skipif(not memory.resident_bytes(), reason="only Linux tells a process how much memory it has")
def test_what_a_burst_took_is_given_back() -> None:
    said = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True).stdout
    full, freed, after, _ = map(int, said.split())
    assert freed > full * 0.8, "the C library gives it back by itself, so this is not needed any more"
    assert after < full * 0.5
