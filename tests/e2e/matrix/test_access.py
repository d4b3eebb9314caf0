"""Every method and every kind of caller (T19): the contract's rule decides, and a refused call leaves no trace."""

from __future__ import annotations

import asyncio

import grpc
import jwt
import pytest
from marketd.kernel.call.caller import Role
from marketd.transport.rules import RateClass

from tests.e2e.matrix.people import OK, ROLES, People
from tests.e2e.matrix.recipes import RECIPES
from tests.viewers import Viewer, judge
from tests.worlds.agreed import agreed
from tests.worlds.matrix import Market
from tests.worlds.observed import RULES, written
from tests.worlds.wire import check_refusal

METHODS = sorted(RULES)


def _subject(token: str | None) -> str:
    """Whose token it is; nobody's when it is none."""
    try:
        return str(jwt.decode(token or "", options={"verify_signature": False})["sub"])
    except jwt.InvalidTokenError:
        return ""


def test_every_method_has_a_recipe_and_every_recipe_a_method() -> None:
    assert sorted(RECIPES) == METHODS


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("method", METHODS)
async def test_a_method_is_open_to_exactly_those_whom_the_contract_names(
    market: Market, people: People, method: str
) -> None:
    rule, recipe = RULES[method], RECIPES[method]
    assert rule.access == recipe.access
    verdicts = {name: principal.judged(recipe.access, vital=rule.vital) for name, principal in people.all.items()}
    welcome = [name for name, verdict in verdicts.items() if verdict == OK]
    # Whoever is refused sends what would succeed, had the right one sent it.
    scene = await recipe.prepare(market, welcome[0])
    before = await market.contents()
    refused = {name: verdict for name, verdict in verdicts.items() if verdict != OK}
    outcomes = await asyncio.gather(
        *(market.send_as(people[name].token, method, *scene.bodies, take=recipe.take) for name in refused)
    )
    after = await market.contents()
    for (name, verdict), outcome in zip(refused.items(), outcomes, strict=True):
        assert (outcome.code, outcome.reason) == verdict, f"{name}: {outcome}"
        check_refusal(outcome, name)
        assert not outcome.answers
    # Refusals of rpcs that were agreed to be audited are written down, and nothing else is.
    assert written(before, after) == (
        {"audit_entries": len(refused)} if agreed()[method].is_audited and refused else {}
    )

    for name in welcome:
        scene = scene if name == welcome[0] else await recipe.prepare(market, name)
        token = people[name].token if scene.caller is None else scene.caller.token
        outcome = await market.send_as(token, method, *scene.bodies, take=recipe.take)
        assert outcome.code is grpc.StatusCode.OK, f"{name}: {outcome}"
        assert outcome.answers, name
        # Whatever comes back is for this caller's eyes, by the page that says who sees what.
        # Who signs in is who is told of, whatever token came with it.
        me = "" if rule.rate_class is RateClass.LOGIN else _subject(token)
        viewer = Viewer(name, name.lower() if name in ROLES else "anonymous", me)
        for answer in outcome.answers:
            assert judge(viewer, rule.response.FromString(answer)) == [], name


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    ("statement", "gained"),
    [
        ("INSERT INTO account_roles SELECT $1::uuid, 'SERVICE', now()", 1),
        ("UPDATE account_roles SET role = role WHERE user_id = $1::uuid", 0),
        ("DELETE FROM account_roles WHERE user_id = $1::uuid", -1),
    ],
)
async def test_the_comparison_of_the_tables_sees_every_kind_of_write(
    market: Market, statement: str, gained: int
) -> None:
    """Else the test above would show nothing."""
    person = await market.person(Role.BUYER)
    before = await market.contents()
    assert written(before, await market.contents()) == {}
    await market.value(statement, person.user_id)
    assert written(before, await market.contents()) == {"account_roles": gained}
