"""Usernames on real Postgres: whoever has only a token of an account can rename it, and takes no name from it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from marketd.auth.accounts.update import USERNAME_KEPT, UserChange, update_user
from marketd.auth.sessions.sign_in import RegisterAccount
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import AlreadyExists

from tests.worlds.auth import PASSWORD, STRANGER

if TYPE_CHECKING:
    from tests.worlds.auth import House


async def _rename(house: House, user_id: UUID, username: str) -> str:
    caller = Caller(user_id, None, frozenset())
    change = UserChange(user_id, frozenset({"username"}), "", username, "", "")
    return (await house.tx.run("test.rename", lambda uow: update_user(uow, caller, change))).username


async def test_a_username_that_a_stolen_token_gave_up_is_still_its_owners(house: House) -> None:
    owner = (await house.register("jo")).account.user_id
    for name in ("gone", "further", "far"):
        await _rename(house, owner, name)
    other = (await house.register("al")).account.user_id
    registering = RegisterAccount("new@shop.example", "Jo", "", "Jo Doe", "phone", PASSWORD)
    for attempt in (
        house.signing_in.register(STRANGER, registering),
        _rename(house, other, "JO"),
    ):
        with pytest.raises(AlreadyExists) as refused:
            await attempt
        assert refused.value.metadata["field"] == "username"
    await house.register("further")  # one is kept, or a single account would hold any number
    assert await _rename(house, owner, "Jo") == "Jo"
    await _rename(house, owner, "")
    house.clock.advance(USERNAME_KEPT)
    assert await _rename(house, other, "jo") == "jo"


async def test_the_former_username_of_a_deleted_account_is_free(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await _rename(house, caller.known_user_id, "gone")
    await house.delete_user(caller)
    await house.register("jo")
