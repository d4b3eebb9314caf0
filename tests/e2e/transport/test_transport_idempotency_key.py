"""The header `idempotency-key` stands for the request id, on every method that takes one and on no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from marketd.kernel.call import call as kernel_call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import ValidationFailed
from marketd.transport.idempotency import request_id_of

if TYPE_CHECKING:
    from tests.worlds.probe import Probe

HEADER = "idempotency-key"


async def _once(probe: Probe, method: str, token: str, key: str, **fields: Any) -> tuple[str, str | None]:
    """The request's id as the handler sees it, and the id under which the answer would be kept."""
    seen: list[tuple[str, str | None]] = []

    async def note(request: Any, context: Any) -> Any:
        once = kernel_call.current().once
        seen.append((request.request_id, once.request_id if once is not None else None))
        return probe.answer()

    probe.on[method] = note
    await probe.result(method, probe.question(**fields), token=token, metadata=[(HEADER, key)])
    return seen[0]


@pytest.mark.parametrize("method", ["Place", "Add"])
async def test_a_uuid_in_the_header_is_the_request_id(probe: Probe, method: str) -> None:
    token, key = probe.tokens.issue(Role.BUYER), str(uuid4())
    for written in (key, key.upper(), f'"{key}"'):
        assert await _once(probe, method, token, written) == (key, key)
    assert await _once(probe, method, token, key, request_id=key.upper()) == (key, key)


async def test_any_other_text_makes_one_that_is_the_callers_own(probe: Probe) -> None:
    ada, bob = probe.tokens.issue(Role.BUYER), probe.tokens.issue(Role.BUYER)
    made = {await _once(probe, "Place", ada, "order 66") for _ in range(2)}
    ((request_id, kept),) = made
    assert request_id == kept == str(UUID(request_id))
    assert await _once(probe, "Place", bob, "order 66") not in made
    assert await _once(probe, "Place", ada, "order 67") not in made


async def test_two_ids_for_one_request_are_refused(probe: Probe) -> None:
    token = probe.tokens.issue(Role.BUYER)
    asked = probe.question(request_id=str(uuid4()))
    refused = await probe.refused("Place", asked, token=token, metadata=[(HEADER, str(uuid4()))])
    assert refused.why == ("INVALID_ARGUMENT", "VALIDATION_FAILED")
    assert refused.fields.keys() == {"request_id"}
    pairs = [(HEADER, "one"), (HEADER, "other")]
    twice = await probe.refused("Place", probe.question(), token=token, metadata=pairs)
    assert twice.why == ("INVALID_ARGUMENT", "MALFORMED_REQUEST")


@pytest.mark.parametrize("key", ["", "x" * 129, '""'])
async def test_a_header_that_is_no_key_is_refused(probe: Probe, key: str) -> None:
    token = probe.tokens.issue(Role.BUYER)
    refused = await probe.refused("Add", probe.question(), token=token, metadata=[(HEADER, key)])
    assert refused.why == ("INVALID_ARGUMENT", "VALIDATION_FAILED")
    assert refused.fields.keys() == {"request_id"}


@pytest.mark.parametrize("method", ["Ask", "Get"])
async def test_where_no_request_id_counts_the_header_does_not(probe: Probe, method: str) -> None:
    assert await _once(probe, method, probe.tokens.issue(Role.BUYER), "x" * 200) == ("", None)


def test_the_same_words_of_strangers_at_two_addresses_are_two_keys() -> None:
    made = {request_id_of("1", Caller(None, None, frozenset(), f"203.0.113.{last}")) for last in (1, 2)}
    assert len(made) == 2
    with pytest.raises(ValidationFailed):
        request_id_of("caf\N{LATIN SMALL LETTER E WITH ACUTE}", Caller(None, None, frozenset()))
