"""Floods of bogus logins on real Postgres (T33, short): who has signed in from there before is let in all the same."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from marketd.auth.accounts import block
from marketd.auth.accounts.hash_queue import MAX_WAITING, STRANGER, THREADS, Lane, Turn
from marketd.auth.codes.recover import ChangePassword
from marketd.auth.sessions import origins
from marketd.auth.sessions.sign_in import RegisterAccount
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import Overloaded, Refusal
from marketd.kernel.db.uow import ReadUnit

from tests.canaries import MARK
from tests.worlds.auth import PASSWORD
from tests.worlds.sent import Sent

if TYPE_CHECKING:
    from marketd.auth.accounts.values import Account

    from tests.worlds.auth import House

WRONG = f"wrong horse battery {MARK}"
FRESH = f"another horse battery {MARK}"
HOME, NEW = "phone", "a new phone"
NEAR, FAR = "192.0.2.200", "203.0.113.5"
BOGUS = 2 * (MAX_WAITING + THREADS)


def caller_at(address: str) -> Caller:
    """Nobody, from there."""
    return Caller(None, None, frozenset(), address)


async def outcome(house: House, login: str, password: str, device: str, address: str) -> str:
    """How a login ends: OK, or the reason of its refusal."""
    try:
        await house.login(login, password, device=device, caller=caller_at(address))
    except Refusal as refusal:
        return refusal.reason.value
    return "OK"


async def strangers_have_no_room(house: House) -> None:
    """Return once the lane of strangers is full; nobody is told of that."""
    async with asyncio.timeout(10):
        while True:
            try:
                house.passwords.check_room(STRANGER)
            except Overloaded:
                return
            await asyncio.sleep(0.002)


@asynccontextmanager
async def flooded(house: House, names: list[str]) -> AsyncIterator[list[asyncio.Task[str]]]:
    """A flood of wrong passwords from changing addresses; no hash ends before the block does, as when each is dear."""
    gate = threading.Event()

    def hold() -> None:
        gate.wait(30)

    held = [asyncio.create_task(house.passwords._queue.run(hold, Turn(), STRANGER)) for _ in range(THREADS)]
    await asyncio.sleep(0)
    flood = [
        asyncio.create_task(outcome(house, name, WRONG, NEW, f"198.51.{turn}.9")) for turn, name in enumerate(names)
    ]
    try:
        await strangers_have_no_room(house)
        while len(waiting := [each for each in flood if not each.done()]) > MAX_WAITING:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        yield flood
    finally:
        gate.set()
        await asyncio.gather(*held, *flood)


@pytest.mark.parametrize("names", ["of nobody", "of the people themselves"])
async def test_a_flood_from_changing_addresses_leaves_the_known_ones_in_and_keeps_newcomers_out(
    house: House, names: str
) -> None:
    people = [f"person-{number}" for number in range(4)]
    for person in people:
        await house.register(person)
    bogus = [person if names != "of nobody" else f"{person}-{turn}" for turn in range(BOGUS // 4) for person in people]
    async with flooded(house, bogus) as flood:
        known = [asyncio.create_task(outcome(house, person, PASSWORD, HOME, NEAR)) for person in people]
        roaming = [asyncio.create_task(outcome(house, f"{each}@shop.example", PASSWORD, HOME, FAR)) for each in people]
        # The control: the same people at the same moment, with a device that nobody has seen.
        strangers = await asyncio.gather(*(outcome(house, person, PASSWORD, NEW, NEAR) for person in people))
    assert await asyncio.gather(*known, *roaming) == ["OK"] * 8
    assert "OK" not in strangers
    ended = Counter(flooder.result() for flooder in flood)
    assert set(ended) <= {"INVALID_CREDENTIALS", "RATE_LIMITED", "OVERLOADED"}
    assert ended["INVALID_CREDENTIALS"]


async def test_what_a_session_or_the_mailbox_proves_is_hashed_during_a_flood_and_who_registers_waits(
    house: House,
) -> None:
    changing, resetting = await house.caller(await house.register("changing")), "resetting@shop.example"
    await house.register("resetting")
    await house.recovering.request(resetting, "192.0.2.7")
    await house.deliver()
    token = house.mailbox.last("password_reset")["token"]
    async with flooded(house, [f"nobody-{turn}" for turn in range(BOGUS)]):
        proven = [
            asyncio.create_task(house.change_password(changing, ChangePassword(PASSWORD, FRESH))),
            asyncio.create_task(house.reset(caller_at(FAR), token, FRESH)),
        ]
        with pytest.raises(Overloaded):
            await house.signing_in.register(
                caller_at(FAR), RegisterAccount("new@shop.example", "", "", "", HOME, FRESH)
            )
    await asyncio.gather(*proven)


async def test_a_flood_that_finds_no_room_writes_nothing(house: House) -> None:
    async with flooded(house, [f"nobody-{turn}" for turn in range(BOGUS)]):
        counted = "SELECT count(*) FROM login_attempts"
        before = await house.tx.read(lambda unit: unit.connection.fetchval(counted))
        assert await outcome(house, "one more", WRONG, NEW, FAR) == "OVERLOADED"
        assert await house.tx.read(lambda unit: unit.connection.fetchval(counted)) == before


@pytest.mark.parametrize(
    ("device", "address", "expected"),
    [
        (HOME, "192.0.2.7", Lane.KNOWN),
        (HOME, NEAR, Lane.KNOWN),
        (HOME, "::ffff:192.0.2.9", Lane.KNOWN),
        (HOME, "192.0.3.7", Lane.DEVICE),
        (HOME, "", Lane.DEVICE),
        (NEW, "192.0.2.7", Lane.STRANGER),
        ("Phone", "192.0.2.7", Lane.STRANGER),
        ("", "192.0.2.7", Lane.STRANGER),
    ],
)
async def test_the_lane_is_that_of_the_device_and_the_network_together(
    house: House, device: str, address: str, expected: Lane
) -> None:
    account = (await house.register("jo")).account
    nameless = RegisterAccount("nameless@shop.example", "", "", "", "", PASSWORD)
    without_name = (await house.signing_in.register(caller_at("192.0.2.7"), nameless)).account

    async def lane_of(somebody: Account | None) -> Lane:
        async def read(unit: ReadUnit) -> Lane:
            return (await origins.asker_of(unit.connection, somebody, device, address)).lane

        return await house.tx.read(read)

    assert await lane_of(account) is expected
    assert await lane_of(without_name) is Lane.STRANGER
    assert await lane_of(None) is Lane.STRANGER


async def test_a_wrong_password_sends_the_same_statements_whether_anybody_has_the_name_or_not(house: House) -> None:
    user_ids = [(await house.register(name)).account.user_id for name in ("known", "blocked", "deleted")]
    await house.tx.run("test.block", lambda uow: block.block_account(uow, user_ids[1]))
    deleted = Caller(user_ids[2], None, frozenset({Role.BUYER}))
    await house.delete_user(deleted)
    sent = Sent(house.tx)
    hashes = house.passwords.hashes
    names = ("unknown", "known", "blocked", "deleted")
    by_place = {
        place: [await sent.during(outcome(house, name, WRONG, *place)) for name in names]
        for place in ((NEW, FAR), (HOME, FAR), (HOME, NEAR))
    }
    for statements in by_place.values():
        assert statements == [statements[0]] * len(names)
        assert len(statements[0]) > 3
    assert house.passwords.hashes - hashes == len(names) * len(by_place)


def test_a_network_is_what_a_household_s_address_moves_in() -> None:
    assert origins.network_of_origin("192.0.2.7") == origins.network_of_origin("192.0.2.255")
    assert origins.network_of_origin("192.0.2.7") != origins.network_of_origin("192.0.3.7")
    assert origins.network_of_origin("2001:db8:1:2::1") == origins.network_of_origin("2001:db8:1:ff:9::1")
    assert origins.network_of_origin("2001:db8:1:2::1") != origins.network_of_origin("2001:db8:1:100::1")
    assert origins.network_of_origin("no address") == "no address"
