"""Moves: who did not hear the answer asks again, without a request id or under a new one, and nothing is done twice."""

from __future__ import annotations

from typing import Any, Final

import grpc
import pytest
from marketd.transport.rules import Idempotency, Kind

from tests.e2e.matrix.recipes import RECIPES
from tests.e2e.matrix.scenes import caller_for
from tests.worlds.matrix import Market
from tests.worlds.observed import RULES, written
from tests.worlds.things import new_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What each of them does it does again when asked again: makes one more, adds, counts down, sends, or changes fields.
NO_MOVES: Final = (
    "Create", "Add", "Update", "Import", "Adjust", "Send", "Request", "Place", "Refund", "Delete", "Remove", "Report",
    "ChangeEmail", "ChangePhone", "BatchUpsert",
)  # fmt: skip


def is_move(method: str) -> bool:
    """Whether the method takes something to a state, where it then is."""
    rule, name = RULES[method], method.rpartition("/")[2]
    writes = rule.kind is Kind.UNARY and rule.idempotency is not Idempotency.NONE
    return writes and method.startswith("/marketplace.") and not name.startswith(NO_MOVES)


MOVES = sorted(method for method in RULES if is_move(method))
# They use up a code or a token, which is of no use a second time.
SPENT: Final = frozenset(
    {"Verify", "ResetPassword", "UndoEmailChange", "ChangePassword", "ConfirmTotp", "DisableTotp", "MergeCarts"}
)


@pytest.mark.parametrize("method", [each for each in MOVES if each.rpartition("/")[2] not in SPENT])
async def test_a_move_that_was_made_is_ok_and_changes_nothing(market: Market, method: str) -> None:
    scene = await RECIPES[method].prepare(market, caller_for(RECIPES[method]))
    token = None if scene.caller is None else scene.caller.token
    request: Any = scene.bodies[0]
    if method.endswith("/CancelOrder"):
        request.ClearField("lines")  # of a line, some pieces more can be cancelled each time
    first = await market.send_as(token, method, request)
    assert first.code is grpc.StatusCode.OK, first
    noted = frozenset({"audit_entries", "idempotency_keys"})
    before = await market.contents(without=noted)
    request.request_id = new_key() if RULES[method].idempotency is Idempotency.KEY_REQUIRED else ""
    again = await market.send_as(token, method, request)
    assert again.code is grpc.StatusCode.OK, again
    assert not again.replayed
    assert again.answers == first.answers
    assert written(before, await market.contents(without=noted)) == {}
