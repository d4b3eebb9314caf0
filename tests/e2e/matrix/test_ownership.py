"""Somebody else's id on every field that takes one (T20): it looks exactly like an id that nothing has."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.message import Message

from tests.e2e.matrix.ownership import FIELDS
from tests.e2e.matrix.ownership_cases import Owned, id_fields, missing_like
from tests.worlds.matrix import Market
from tests.worlds.observed import RULES, written
from tests.worlds.wire import Outcome, check_refusal

OWNED = [
    pytest.param(method, field, who, id=f"{method}.{field} by {who}")
    for method, field, owned in ((*name.split(".", 1), entry) for name, entry in FIELDS.items())
    if isinstance(owned, Owned)
    for who in owned.strangers
]
PATHS = {path.rpartition("/")[2]: path for path in RULES if path.startswith("/marketplace.")}


def test_every_id_field_of_the_contract_is_somebodys_or_says_why_not() -> None:
    found = {f"{name}.{field}" for name, path in PATHS.items() for field in id_fields(RULES[path].request.DESCRIPTOR)}
    keys = {field for field in found if field.endswith(".request_id")}
    assert found - keys == set(FIELDS)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(("method", "field", "who"), OWNED)
async def test_what_belongs_to_others_looks_like_what_is_not_there(
    market: Market, method: str, field: str, who: str
) -> None:
    entry = FIELDS[f"{method}.{field}"]
    assert isinstance(entry, Owned)
    question = await entry.case(market, who)
    missing = missing_like(question.foreign)

    async def ask(identifier: str) -> Outcome:
        asked = question.ask(identifier)
        bodies = (asked,) if isinstance(asked, Message) else asked
        return await market.send(PATHS[method], *bodies, by=question.caller)

    # Refusals of audited rpcs are written down, and nothing else is.
    before = await market.contents(without=frozenset({"audit_entries"}))
    of_another, of_nobody = await ask(question.foreign), await ask(missing)
    assert written(before, await market.contents(without=frozenset({"audit_entries"}))) == {}

    assert (of_another.code, of_another.reason) == (of_nobody.code, of_nobody.reason)
    assert _blurred(of_another, question.foreign, missing) == _blurred(of_nobody, question.foreign, missing)
    if of_nobody.code is not grpc.StatusCode.OK:
        missing_is = (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
        if entry.is_attribute:
            missing_is = (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
        assert (of_nobody.code, of_nobody.reason) == missing_is
        check_refusal(of_nobody)
    else:
        # A filter or a batch with a stranger's id finds nothing, not even how much there is.
        assert method.startswith(("List", "BatchGet"))
        assert of_another.answers == (b"",)


def _blurred(outcome: Outcome, foreign: str, missing: str) -> tuple[object, ...]:
    """All that a client sees, but for the id it sent and the correlation id."""

    def blur(raw: bytes) -> bytes:
        return raw.replace(foreign.encode(), b"?").replace(missing.encode(), b"?")

    trailing = tuple(
        (key, blur(value if isinstance(value, bytes) else value.encode()))
        for key, value in outcome.trailing
        if key != "x-request-id"
    )
    return outcome.code, blur(outcome.text.encode()), trailing, outcome.answers
