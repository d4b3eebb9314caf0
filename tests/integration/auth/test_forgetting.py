"""What auth does not keep: of an account that was deleted, and of what has served its time, on real Postgres."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pyotp
import pytest
from marketd.auth import sweeps
from marketd.auth.accounts.update import UserChange, update_user
from marketd.auth.errors import InvalidCredentials
from marketd.kernel.call.caller import Caller

from tests.canaries import MARK, WATCH

if TYPE_CHECKING:
    from tests.worlds.auth import House

SECOND = timedelta(seconds=1)
# What stays of a deleted account: the row for what refers to it, and that its sessions have ended.
STAYS = {"accounts", "sessions", "access_changes"}


async def _rename(house: House, caller: Caller, username: str) -> None:
    change = UserChange(caller.known_user_id, frozenset({"username"}), "", username, "", "")
    await house.tx.run("test.rename", lambda uow: update_user(uow, caller, change))


async def _tables_about(house: House, user_id: UUID) -> set[str]:
    """The tables that have rows of the account, of all that name one."""
    read = house.tx.read
    named = await read(
        lambda unit: unit.connection.fetch(
            "SELECT table_name FROM information_schema.columns"
            " WHERE column_name = 'user_id' AND table_schema = 'public' ORDER BY 1"
        )
    )
    tables = [row["table_name"] for row in named]
    statement = " UNION ALL ".join(f"SELECT '{name}' AS name FROM {name} WHERE user_id = $1" for name in tables)
    return {row["name"] for row in await read(lambda unit: unit.connection.fetch(statement, user_id))}


async def _values(house: House, user_id: UUID) -> list[str]:
    """What the audit log says of the values of the account."""
    statement = "SELECT changes::text FROM audit_entries WHERE resource_id = $1 AND changes <> '[]'"
    rows = await house.tx.read(lambda unit: unit.connection.fetch(statement, str(user_id)))
    return [row["changes"] for row in rows]


async def test_nothing_that_proves_or_reaches_its_owner_is_left_of_a_deleted_account(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    me = caller.known_user_id
    secret = (await house.enroll(caller)).secret
    await house.factor.confirm(caller, WATCH.code(pyotp.TOTP(secret).at(house.clock.now())))
    await house.move(caller, "jo@mail.example")
    await house.change_phone(caller, "+4930123456")
    await _rename(house, caller, "joanna")
    await house.recovering.request("jo@mail.example", "192.0.2.7")
    await house.deliver()
    of_auth = {
        *("account_roles", "totp_factors", "recovery_codes", "verifications"),
        *("password_resets", "email_changes", "former_usernames"),
    }
    assert await _tables_about(house, me) >= {*of_auth, *STAYS} - {"access_changes"}
    assert "joanna" in str(await _values(house, me))
    await house.delete_user(caller)
    assert await _tables_about(house, me) == STAYS
    assert await _values(house, me) == []


async def _count(house: House) -> dict[str, int]:
    """How many rows there are of what goes by itself."""
    tables = ("login_attempts", "password_resets", "email_changes", "former_usernames", "sessions")
    found = {}
    for table in tables:
        statement = f"SELECT count(*) FROM {table}"
        found[table] = await house.tx.read(lambda unit, text=statement: unit.connection.fetchval(text))  # type: ignore[misc]
    return found


async def test_each_thing_goes_when_it_has_served_its_time_and_not_before(house: House) -> None:
    signed_in = await house.register("jo")
    caller = await house.caller(signed_in)
    await house.move(caller, "jo@mail.example")
    await _rename(house, caller, "joanna")
    with pytest.raises(InvalidCredentials):
        await house.login("somebody", f"wrong horse battery {MARK}")
    await house.recovering.request("nobody@mail.example", "192.0.2.7")
    await house.deliver()
    begun = house.clock.now()
    counted = await _count(house)
    # How often a code went to one address is counted beside the failures.
    assert counted == dict.fromkeys(counted, 1) | {"login_attempts": 2}
    ends = [
        ({"password_resets"}, timedelta(minutes=30)),
        ({"login_attempts"}, timedelta(hours=24)),
        ({"email_changes", "former_usernames"}, timedelta(hours=72)),
        # A month that they last, and one for their owner to look at them.
        ({"sessions"}, timedelta(days=60)),
    ]
    for names, age in ends:
        for instant in (begun + age - SECOND, begun + age + SECOND):
            house.clock.advance(instant - house.clock.now())
            await house.tx.run("test.sweep", sweeps.sweep)
            if instant > begun + age:
                counted |= dict.fromkeys(names, 0)
            assert await _count(house) == counted, f"after {instant - begun}"


async def test_a_change_of_access_is_kept_for_an_hour_by_the_clock_of_the_database(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    await house.signing_in.logout(caller)

    async def aged(age: timedelta) -> int:
        statement = "UPDATE access_changes SET create_time = clock_timestamp() - $1::interval"
        await house.tx.run("test.age", lambda uow: uow.connection.execute(statement, age))
        house.clock.advance(timedelta(days=1))  # a worker's clock may be wrong
        return await house.tx.run("test.sweep", sweeps.sweep)

    assert await aged(timedelta(minutes=59)) == 0
    assert await aged(timedelta(minutes=61)) == 1
