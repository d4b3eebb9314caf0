"""What real server processes leave behind is looked through for secrets (T30): their logs, calls included,
and the log of their PostgreSQL. After every test of this folder `discreet` looks at what is new in them.
"""

from __future__ import annotations

import asyncpg

from tests.canaries import MARK, WATCH
from tests.worlds.faults import World
from tests.worlds.lines import register
from tests.worlds.served import Served


async def test_secrets_in_the_logs_of_a_server_and_its_database_are_found(
    served: Served, world: World, both_workers: None
) -> None:
    served.look()
    async with world.lines() as lines:
        await register(lines)
    with WATCH.planted() as hits:
        connection = await asyncpg.connect(world.database_url)
        await connection.execute(f"DO $$ BEGIN RAISE LOG 'a passphrase {MARK}'; END $$")
        await connection.close()
        with (served.folder / "errors.log").open("a") as log:
            log.write(f'{{"event":"planted","with":"a passphrase {MARK}"}}\n')
        served.look()
    assert {hit.where for hit in hits} == {"standard error of marketd serve", "the log of its PostgreSQL"}
    assert '"event":"rpc"' in (served.folder / "errors.log").read_text()
    assert all("marketd_rpc_total" in text for text in served.metrics().values())
