"""Memory that was freed goes back to the system."""

from __future__ import annotations

import asyncio
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


async def test_memory_is_given_back_when_a_process_has_grown_and_not_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mib = 1024 * 1024
    sizes = iter([100 * mib, 131 * mib, 133 * mib, 110 * mib, 141 * mib, 143 * mib, 120 * mib])
    given_back: list[int] = []
    now = 0

    def resident() -> int:
        nonlocal now
        now = next(sizes)
        return now

    def give_back() -> bool:
        given_back.append(now // mib)
        return True

    monkeypatch.setattr(memory, "LOOK_SECONDS", 0)
    monkeypatch.setattr(memory, "resident_bytes", resident)
    monkeypatch.setattr(memory, "give_back", give_back)
    with pytest.raises(RuntimeError):  # what a coroutine makes of the end of the sizes
        await asyncio.wait_for(memory.keep_small(), 20)
    assert given_back == [133, 143], "32 MiB more than after the last time"
