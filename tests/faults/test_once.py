"""Killed between the effect and the answer: a repeat of the request gets the first answer and changes nothing.

Every rpc of the contract that needs a request id is tried, on a real server whose worker dies at the failpoint; a few
of them in every run, all in `make faults`.
"""

from __future__ import annotations

import re
from uuid import UUID

import grpc
import pytest
from marketd.kernel.db.failpoints import Failpoint
from marketplace_client import MarketplaceError

from tests.faults import books
from tests.faults.recipes import RECIPES, Recipe, Scene
from tests.worlds.agreed import agreed
from tests.worlds.faults import World
from tests.worlds.lines import RULES, Answer, Lines
from tests.worlds.served import Served

KEYED = sorted(path for path, line in agreed().items() if line.idempotency == "KEY_REQUIRED")
# Answers are stored in one place for all of them, and each costs the restart of a worker: one that moves goods and one
# that moves money are tried in every run, the others in the long one.
EVERY_TIME = ("PlaceOrder", "ConfirmPayment")
STEPS = [(method, point, unit) for method, recipe in RECIPES.items() for point, unit in recipe.steps]


def _short(value: object) -> str:
    return re.sub(r"^/.*/", "", str(value))


async def stored_answer(world: World, request_id: str) -> bytes | None:
    """The answer that was committed with the effect."""
    found = await world.sql("SELECT answer FROM idempotency_keys WHERE request_id = $1", UUID(request_id))
    return None if found is None else bytes(found)


async def die_at(served: Served, lines: Lines, scene: Scene, point: Failpoint, unit: str) -> None:
    """Send the request to a worker that dies at the failpoint; the caller learns only that it is gone."""
    armed = served.failpoints.arm(point, unit)
    with pytest.raises(MarketplaceError) as raised:
        await lines.raw(scene.account, scene.request, wait_for_ready=True)
    assert not armed.exists(), f"{unit} never came to {point}: {raised.value}"
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE


async def repeat_changes_nothing(world: World, lines: Lines, scene: Scene, first: bytes) -> None:
    """A later repeat is answered with the very bytes, and the database stays as it is."""
    await world.drained()
    before = await books.fingerprint(world.database_url)
    again: Answer = await lines.settle(scene.account, scene.request)
    assert again.payload == first
    assert again.replayed
    moved = books.changed(before, await books.fingerprint(world.database_url))
    # A repeat of an audited rpc is written down, and nothing else is.
    assert set(moved) == ({"audit_entries"} if agreed()[RULES[type(scene.request)].method].is_audited else set())
    await books.assert_sound(world.database_url)


def recipe_of(method: str) -> Recipe:
    assert method in RECIPES, f"tests/faults/recipes.py does not know how to call {method}"
    return RECIPES[method]


def test_no_recipe_is_left_of_a_method_that_is_gone() -> None:
    assert sorted(RECIPES) == KEYED
    for name in EVERY_TIME:
        assert len([method for method in KEYED if method.endswith(f"/{name}")]) == 1, name


@pytest.mark.parametrize(
    "method",
    [pytest.param(each, marks=() if each.endswith(EVERY_TIME) else pytest.mark.faults) for each in KEYED],
    ids=_short,
)
async def test_killed_after_the_commit_a_repeat_gets_the_first_answer_and_has_no_second_effect(
    served: Served, world: World, method: str
) -> None:
    recipe = recipe_of(method)
    async with world.lines(1) as lines:
        scene = await recipe.prepare(world, lines)
        await die_at(served, lines, scene, Failpoint.AFTER_COMMIT, recipe.unit)
        first = await stored_answer(world, scene.request.request_id)
        assert first is not None
        await repeat_changes_nothing(world, lines, scene, first)


@pytest.mark.faults
@pytest.mark.parametrize("point", [Failpoint.BEGUN, Failpoint.BEFORE_COMMIT])
@pytest.mark.parametrize("method", KEYED, ids=_short)
async def test_killed_before_the_commit_nothing_has_happened_and_a_repeat_does_it_once(
    served: Served, world: World, method: str, point: Failpoint
) -> None:
    recipe = recipe_of(method)
    async with world.lines(1) as lines:
        scene = await recipe.prepare(world, lines)
        await world.drained()
        before = await books.fingerprint(world.database_url)
        await die_at(served, lines, scene, point, recipe.unit)
        if not recipe.steps:
            assert books.changed(before, await books.fingerprint(world.database_url)) == {}
        assert await stored_answer(world, scene.request.request_id) is None
        done = await lines.settle(scene.account, scene.request)
        # On a slow machine a try may be cut off whose effect is there: then its repeat is a repeat.
        assert not done.replayed or not done.is_first
        await repeat_changes_nothing(world, lines, scene, done.payload)


@pytest.mark.faults
@pytest.mark.parametrize(("method", "point", "unit"), STEPS, ids=_short)
async def test_killed_half_way_a_repeat_goes_on_and_moves_money_once(
    served: Served, world: World, method: str, point: Failpoint, unit: str
) -> None:
    recipe = recipe_of(method)
    async with world.lines(1) as lines:
        scene = await recipe.prepare(world, lines)
        charged, refunded = await money_moved(world)
        await die_at(served, lines, scene, point, unit)
        done = await lines.settle(scene.account, scene.request)
        assert not done.replayed or not done.is_first
        await repeat_changes_nothing(world, lines, scene, done.payload)
        now_charged, now_refunded = await money_moved(world)
    assert now_charged - charged == (1 if method.endswith("ConfirmPayment") else 0)
    assert now_refunded - refunded == (1 if method.endswith("RefundPayment") else 0)


async def money_moved(world: World) -> tuple[int, int]:
    """How often the provider took money, and how often it gave some back, by its own books."""
    charged = await world.sql("SELECT count(*) FROM sandbox_charges WHERE state = 'CAPTURED'")
    refunded = await world.sql("SELECT count(*) FROM sandbox_refunds WHERE done")
    return int(charged), int(refunded)
