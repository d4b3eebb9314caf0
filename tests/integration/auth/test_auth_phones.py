"""Phones on real Postgres: one belongs to who verified it, and changes then with a proof and a code by SMS."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from marketd.auth.codes.model import VerificationChannel as Channel
from marketd.auth.codes.send import SENDS, TO_ONE_TARGET
from marketd.auth.codes.values import Proof
from marketd.auth.errors import ContactUnchanged, InvalidCredentials, TooManyCodes, VerifiedPhone
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import AlreadyExists
from marketplace.auth.v1 import user_pb2
from marketplace.auth.v1 import user_service_pb2 as pb

from tests.canaries import MARK

if TYPE_CHECKING:
    from tests.worlds.auth import House

PHONE, OTHER = "+491701234567", "+491707654321"
CONTEXT = cast("Any", None)


async def _set(house: House, caller: Caller, phone: str) -> user_pb2.User:
    calls.enter(Call(caller=caller))
    request = pb.UpdateUserRequest(user=user_pb2.User(user_id="me", phone=phone))
    return (await house.users().UpdateUser(request, CONTEXT)).user


async def test_a_number_that_somebody_only_claims_keeps_its_owner_out_of_nothing(house: House) -> None:
    squatter = await house.caller(await house.register("squatter", PHONE))
    owner = await house.caller(await house.register("owner", PHONE))
    await house.send_code(owner, Channel.PHONE)
    assert (await house.verify(owner, Channel.PHONE, await house.code_sent())).phone_verified
    assert (await house.login(PHONE)).account.user_id == owner.user_id
    # Now it is taken, for those who had it and for those who come.
    await house.send_code(squatter, Channel.PHONE)
    with pytest.raises(AlreadyExists) as refused:
        await house.verify(squatter, Channel.PHONE, await house.code_sent())
    assert refused.value.metadata["field"] == "phone"
    third = await house.caller(await house.register("third"))
    for attempt in (
        house.register("fourth", PHONE),
        house.change_phone(third, PHONE),
        _set(house, third, PHONE),
    ):
        with pytest.raises(AlreadyExists):
            await attempt
    assert (await house.login("squatter")).account.phone == PHONE


async def test_many_who_claim_a_number_do_not_flood_it_with_codes(house: House) -> None:
    for number in range(3):
        caller = await house.caller(await house.register(f"eve{number}", PHONE))
        for _ in range(SENDS):
            if number * SENDS < TO_ONE_TARGET:
                await house.send_code(caller, Channel.PHONE)
                continue
            with pytest.raises(TooManyCodes):
                await house.send_code(caller, Channel.PHONE)
    await house.deliver()
    assert len(house.mailbox.sent) == TO_ONE_TARGET
    # Codes for a change are counted apart, so is everybody else's number.
    await house.change_phone(caller, OTHER)


async def test_nobody_signs_in_with_a_number_that_is_not_verified(house: House) -> None:
    caller = await house.caller(await house.register("jo", PHONE))
    with pytest.raises(InvalidCredentials):
        await house.login(PHONE)
    await house.send_code(caller, Channel.PHONE)
    await house.verify(caller, Channel.PHONE, await house.code_sent())
    assert (await house.login(PHONE)).account.user_id == caller.user_id


async def test_two_who_verify_one_number_at_once_do_not_both_get_it(house: House) -> None:
    callers = [await house.caller(await house.register(name, PHONE)) for name in ("jo", "al")]
    codes = []
    for caller in callers:
        await house.send_code(caller, Channel.PHONE)
        codes.append(await house.code_sent())
    outcomes = await asyncio.gather(
        *(house.verify(caller, Channel.PHONE, code) for caller, code in zip(callers, codes, strict=True)),
        return_exceptions=True,
    )
    assert sorted(isinstance(outcome, AlreadyExists) for outcome in outcomes) == [False, True]


async def test_a_verified_number_changes_with_a_proof_and_the_code_and_not_else(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await house.verified_phone(caller, PHONE)
    for phone in (OTHER, ""):
        with pytest.raises(VerifiedPhone, match="ChangePhone"):
            await _set(house, caller, phone)
    assert (await _set(house, caller, PHONE)).phone_verified
    with pytest.raises(InvalidCredentials):
        await house.change_phone(caller, OTHER, Proof(f"wrong horse battery {MARK}"))
    with pytest.raises(ContactUnchanged):
        await house.change_phone(caller, PHONE)
    await house.change_phone(caller, OTHER)
    assert (await house.login(PHONE)).account.phone == PHONE
    account = await house.verify(caller, Channel.PHONE, await house.code_sent())
    assert (account.phone, account.phone_verified) == (OTHER, True)
    with pytest.raises(InvalidCredentials):
        await house.login(PHONE)
    await house.deliver()
    name, to, values = house.mailbox.sent[-1]
    assert (name, to, values["phone"]) == ("phone_changed", "jo@shop.example", "…4321")


async def test_a_verified_number_is_removed_with_a_proof_at_once(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await house.verified_phone(caller, PHONE)
    assert await house.change_phone(caller, "") is None
    account = (await house.login("jo")).account
    assert (account.phone, account.phone_verified) == ("", False)
    assert (await house.register("next", PHONE)).account.phone == PHONE


async def test_an_unverified_number_is_set_and_cleared_without_a_proof(house: House) -> None:
    caller = await house.caller(await house.register("jo", PHONE))
    for phone in (OTHER, "", PHONE):
        assert (await _set(house, caller, phone)).phone == phone
