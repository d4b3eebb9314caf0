"""What the tests' worlds are built of: the slices that app.py lists, whichever they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from marketd.app import SLICES
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork

from tests.worlds.built import Built
from tests.worlds.parts import make_parts, make_settings


async def test_all_slices_are_built_and_what_they_serve_is_found_by_its_class(tx: Transactor, tmp_path: Path) -> None:
    built = Built(make_parts(tx, settings=make_settings(data_dir=tmp_path)))
    await built.start()
    kinds = [kind for room in SLICES for kind in room.wiring.SERVICERS]
    assert [type(built.servicer(kind)) for kind in kinds] == kinds != []
    await built.hand_on_events()
    await built.run_jobs()
    assert await built.violations() == []
    built.close()


async def test_only_the_invariants_of_the_built_slices_are_looked_at(tx: Transactor) -> None:
    async def miscount(uow: UnitOfWork) -> None:
        await uow.connection.execute(
            "INSERT INTO stocks (variant_id, seller_id, on_hand, reserved, create_time, update_time)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), 3, 0, $1, $1)",
            uow.now,
        )

    await tx.run("test.miscount", miscount)
    parts = make_parts(tx)
    assert len(await Built(parts, "inventory").violations()) == 1
    assert await Built(parts, "delivery").violations() == []


async def test_a_slice_that_does_not_exist_is_no_silent_omission(tx: Transactor) -> None:
    with pytest.raises(AssertionError, match="no such slice"):
        Built(make_parts(tx), "inventry")
