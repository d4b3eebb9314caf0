"""Shopping as people do it, chosen by Hypothesis, on a real database and beside a model of what must come of it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import ManualClock, SystemClock

from tests.integration.machine.rules import Machine
from tests.integration.machine.stage import Stage

STEPS: Final = 100
SEED: Final = "MACHINE_SEED"
"""An environment variable: the seed of a run that is to be made again. A failure says which it was."""


class Runs:
    """Runs of the machine on one database."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        engine = create_engine(url, pool_size=2, pool_timeout_seconds=5)
        clock = ManualClock(SystemClock().now())
        self._engine, self._tx = engine, Transactor(engine, clock)
        self._stage = Stage(self._tx, clock)
        self._runner.run(self._stage.open())

    def close(self) -> None:
        """Let the database go."""
        self._runner.run(self._tx.drain())
        self._runner.run(self._engine.dispose())
        self._runner.close()

    def run(self, number: int, rounds: int) -> Counter[str]:
        """So many rounds of STEPS steps, of this seed; how often each move ended how."""
        done: Counter[str] = Counter()
        machine: Any = type("Machine", (Machine,), {"run": self._runner.get_loop().run_until_complete, "stage": self._stage, "done": done})
        how = settings(
            max_examples=rounds,
            stateful_step_count=STEPS,
            phases=(Phase.generate,),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(seed(number)(machine), settings=how)
        except Exception as error:
            error.add_note(f"to make this run again: {SEED}={number}")
            raise
        return done


@pytest.fixture
def runs(database_url: str) -> Iterator[Runs]:
    """The machine on a database of the test's own."""
    made = Runs(database_url)
    yield made
    made.close()


def test_2000_steps_of_shopping_are_as_the_model_says(runs: Runs) -> None:
    number = int(os.environ.get(SEED) or secrets.randbelow(2**32))
    print(f"{SEED}={number}")  # noqa: T201 - to make the run again
    import time, cProfile; a = time.process_time(); pr=cProfile.Profile() if os.environ.get('PROF') else None
    if pr: pr.enable()
    done = runs.run(number, 20)
    if pr: pr.disable(); pr.dump_stats('/tmp/m.prof')
    print('CPU', time.process_time() - a)
    import pathlib
    for pid in runs._runner.run(runs._tx.read(lambda u: u.connection.fetch('SELECT pid FROM pg_stat_activity WHERE datname = current_database()'))):
        f = pathlib.Path(f'/proc/{pid[0]}/stat').read_text().rsplit(')',1)[1].split(); print('PG', (int(f[11])+int(f[12]))/100)
    print(done)
    for name, outcome, time in sorted(runs._tx.times, key=lambda each: -each[2].seconds)[:40]:
        print(name, outcome, sum(time.buckets), round(time.seconds, 2))
