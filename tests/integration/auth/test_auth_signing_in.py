"""Registering and signing in on real Postgres: unique names under races, no oracle, the audit log, the guest's cart."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from marketd.auth.accounts import block, hash_queue
from marketd.auth.accounts import repository as accounts
from marketd.auth.accounts.hash_queue import Asker, Turn
from marketd.auth.accounts.passwords import Passwords
from marketd.auth.errors import AccountBlocked, InvalidCredentials, PasswordTooCommon
from marketd.auth.ports import MergeReport, MergeStrategy
from marketd.auth.sessions.refresh_tokens import RefreshTokens
from marketd.auth.sessions.sign_in import LogIn, RegisterAccount, SigningIn
from marketd.auth.sessions.values import SessionRules
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import AlreadyExists
from marketd.kernel.db.database import Record
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id

from tests.canaries import MARK

if TYPE_CHECKING:
    from tests.worlds.auth import Builder, House

PASSWORD = f"correct horse battery {MARK}"
STRANGER = Caller(None, None, frozenset(), "192.0.2.7")


class Announced(Passwords):
    """Passwords that say when a login has read its account and begins to hash."""

    def __init__(self, pepper: bytes, cost: int) -> None:
        super().__init__(pepper, cost)
        self.started = asyncio.Event()

    async def verify(
        self, password: str, stored: str | None, turn: Turn | None = None, asker: Asker = hash_queue.STRANGER
    ) -> bool:
        self.started.set()
        return await super().verify(password, stored, turn, asker)


async def _rows(tx: Transactor, sql: str, *args: object) -> list[Record]:
    async def read(unit: ReadUnit) -> list[Record]:
        return list(await unit.connection.fetch(sql, *args))

    return await tx.read(read)


def _register(email: str, username: str = "", phone: str = "") -> RegisterAccount:
    return RegisterAccount(email, username, phone, "Jo Doe", "phone", PASSWORD)


async def test_a_registered_account_buys_at_once_and_is_signed_in(house: House) -> None:
    done = await house.signing_in.register(STRANGER, _register("Jo@Shop.Example", "Jo.Doe", "+491701234567"))
    assert (done.account.email, done.account.username, done.account.phone) == (
        "jo@shop.example",
        "Jo.Doe",
        "+491701234567",
    )
    assert done.account.roles == {Role.BUYER}
    caller = await house.principals.authenticate(done.tokens.access.text)
    assert (caller.user_id, caller.session_id) == (done.account.user_id, done.tokens.grant.session_id)


@pytest.mark.parametrize(
    ("second", "field"),
    [
        (_register("FIRST@shop.example"), "email"),
        (_register("second@shop.example", "FIRST.user"), "username"),
        (_register("second@shop.example", "", "+491701234567"), "phone"),
    ],
)
async def test_a_name_that_somebody_has_is_refused_by_field(house: House, second: RegisterAccount, field: str) -> None:
    first = await house.signing_in.register(STRANGER, _register("first@shop.example", "First.User"))
    await house.verified_phone(await house.caller(first), "+491701234567")
    with pytest.raises(AlreadyExists) as refused:
        await house.signing_in.register(STRANGER, second)
    assert refused.value.metadata["field"] == field
    assert len(await _rows(house.tx, "SELECT 1 FROM accounts")) == 1


async def test_ten_registrations_of_one_address_make_one_account(house: House) -> None:
    outcomes = await asyncio.gather(
        *(house.signing_in.register(STRANGER, _register("race@shop.example")) for _ in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 9
    assert len(await _rows(house.tx, "SELECT 1 FROM sessions")) == 1


async def test_a_common_password_is_refused_before_it_is_hashed(house: House) -> None:
    command = RegisterAccount("jo@shop.example", "", "", "Jo", "", "password123")
    with pytest.raises(PasswordTooCommon):
        await house.signing_in.register(STRANGER, command)
    assert house.passwords.hashes == 0


@pytest.mark.parametrize("login", ["JO@shop.example", "jo.DOE", "+491701234567"])
async def test_login_takes_email_username_or_verified_phone(house: House, login: str) -> None:
    done = await house.signing_in.register(STRANGER, _register("jo@shop.example", "Jo.Doe"))
    await house.verified_phone(await house.caller(done), "+491701234567")
    again = await house.login(login)
    assert again.account.user_id == done.account.user_id
    assert again.tokens.grant.session_id != done.tokens.grant.session_id


async def test_unknown_logins_and_wrong_passwords_look_and_cost_the_same(house: House) -> None:
    await house.register("known", "+4930123456")  # which nobody verified
    told: list[tuple[str, dict[str, str], int]] = []
    for login in ("known", "unknown", "known@shop.example", "unknown@shop.example", "+4912345678", "+4930123456"):
        before = house.passwords.hashes
        with pytest.raises(InvalidCredentials) as refused:
            await house.login(login, "wrong horse battery")
        told.append((refused.value.message, dict(refused.value.metadata), house.passwords.hashes - before))
    assert all(one == told[0] for one in told)
    assert told[0][2] == 1


async def test_a_blocked_account_is_told_so_only_with_the_right_password(house: House) -> None:
    user_id = (await house.register("blocked")).account.user_id
    await house.tx.run("test.block", lambda uow: block.block_account(uow, user_id))
    with pytest.raises(InvalidCredentials):
        await house.login("blocked", "wrong horse battery")
    with pytest.raises(AccountBlocked):
        await house.login("blocked")
    await house.tx.run("test.unblock", lambda uow: block.unblock_account(uow, user_id))
    assert (await house.login("blocked")).account.user_id == user_id


async def test_a_login_upgrades_a_hash_of_another_cost(house: House, builder: Builder) -> None:
    account = (await house.register("older")).account
    dearer = await builder.build(cost=5)
    await dearer.login("older")
    stored = await _rows(house.tx, "SELECT password_hash FROM accounts WHERE user_id = $1", account.user_id)
    assert stored[0]["password_hash"].startswith("$2b$05$")
    assert (await dearer.login("older")).account.user_id == account.user_id


async def test_of_many_right_passwords_at_once_none_is_refused_while_the_hash_is_upgraded(builder: Builder) -> None:
    house, dearer = await builder.build(), await builder.build(cost=5)
    await house.register("older")
    signed_in = await asyncio.gather(*(dearer.login("older") for _ in range(6)))
    assert len({each.tokens.grant.session_id for each in signed_in}) == 6


async def test_a_password_changed_while_the_old_one_was_hashed_wins(house: House) -> None:
    account = (await house.register("changing")).account
    new_hash = await house.passwords.hash("another horse battery")
    locked, go_on = asyncio.Event(), asyncio.Event()
    hashing = Announced(b"pepper", 4)
    signing_in = SigningIn(
        house.tx,
        hashing,
        house.access,
        RefreshTokens(house.secret("refresh-tokens")),
        SessionRules(timedelta(1), timedelta(1), timedelta(1)),
        house.attempts,
        house.factor,
        house.letters,
    )

    async def change(uow: UnitOfWork) -> None:
        await accounts.set_password_hash(uow.connection, account.user_id, new_hash, uow.now)
        locked.set()
        await go_on.wait()

    changing = asyncio.create_task(house.tx.run("test.change", change))
    await locked.wait()
    login = asyncio.create_task(signing_in.login(STRANGER, LogIn("changing", "phone", PASSWORD)))
    await hashing.started.wait()
    go_on.set()
    await changing
    with pytest.raises(InvalidCredentials):
        await login
    hashing.close()


async def test_the_audit_log_names_who_was_tried_and_no_secret(house: House) -> None:
    account = (await house.register("audited")).account
    await house.login("audited")
    mine = str(account.user_id)
    # Refusals are the edge's to write down; what it cannot know of the request, the call carries.
    for login, password, about in (
        ("audited", "my secret in the wrong field", f"user/{mine}"),
        ("my secret in the wrong field", "wrong horse battery", ""),
    ):
        call = Call()
        calls.enter(call)
        with pytest.raises(InvalidCredentials):
            await house.login(login, password)
        assert (call.about, call.audited) == (about, False)
    rows = await _rows(
        house.tx,
        "SELECT actor_id, resource_id, code, refusal_reason, remote_address FROM audit_entries ORDER BY audit_entry_id",
    )
    assert [tuple(row.values()) for row in rows] == [(account.user_id, mine, "OK", "", "192.0.2.7")] * 2
    assert not await _rows(house.tx, "SELECT 1 FROM audit_entries a WHERE a::text LIKE '%secret%'")


async def test_the_guests_cart_comes_along_in_the_logins_own_transaction(house: House, builder: Builder) -> None:
    report, broken = MergeReport(new_id(), MergeStrategy.SUM, ()), new_id()

    async def merge(uow: UnitOfWork, user_id: UUID, guest_cart_id: UUID, strategy: MergeStrategy) -> MergeReport | None:
        await uow.connection.execute("CREATE TABLE IF NOT EXISTS merged (user_id uuid)")
        await uow.connection.execute("INSERT INTO merged VALUES ($1)", user_id)
        if guest_cart_id == broken:
            raise LookupError("the merge failed")
        return report

    merging = await builder.build(merge=merge)
    user_id = (await house.register("guest")).account.user_id
    assert (await merging.login("guest")).merge is None
    assert (await merging.login("guest", guest=new_id())).merge == report
    with pytest.raises(LookupError):
        await merging.login("guest", guest=broken)
    assert [row["user_id"] for row in await _rows(house.tx, "SELECT user_id FROM merged")] == [user_id]
    assert len(await _rows(house.tx, "SELECT 1 FROM sessions")) == 3
