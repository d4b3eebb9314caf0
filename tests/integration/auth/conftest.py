"""Auth on real Postgres: everything that app.py would build of it, on a clock that tests move by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from marketd.auth.keys import KeyRing
from marketd.auth.passwords import Passwords
from marketd.auth.ports import CartMerger
from marketd.auth.principals import Principals
from marketd.auth.refresh import RefreshTokens
from marketd.auth.sessions import SessionRules
from marketd.auth.signing_in import Login, Register, SignedIn, SigningIn
from marketd.auth.tokens import AccessTokens
from marketd.kernel.broadcast import Broadcast, LocalBroadcast
from marketd.kernel.caller import Caller
from marketd.kernel.clock import ManualClock
from marketd.kernel.database import create_engine
from marketd.kernel.ids import new_id
from marketd.kernel.transactor import Transactor

PASSWORD = "correct horse battery"
STRANGER = Caller(None, None, frozenset(), "192.0.2.7")


@dataclass
class House:
    """One worker's auth."""

    tx: Transactor
    clock: ManualClock
    passwords: Passwords
    keys: KeyRing
    access: AccessTokens
    signing_in: SigningIn
    broadcast: Broadcast
    principals: Principals

    async def register(self, name: str = "") -> SignedIn:
        """A fresh buyer with PASSWORD; a name makes e-mail address and username."""
        name = name or f"buyer-{new_id().hex}"
        command = Register(f"{name}@shop.example", name, "", "Jo Doe", "phone", PASSWORD)
        return await self.signing_in.register(STRANGER, command)

    async def login(self, login: str, password: str = PASSWORD, guest: str = "") -> SignedIn:
        """A further session."""
        return await self.signing_in.login(STRANGER, Login(login, "phone", password, guest))


class Builder:
    """Builds houses on one database; each is a worker of its own, with an engine of its own."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url = url
        self._stack = stack
        self.clock = ManualClock(datetime.now(UTC))

    async def build(
        self, *, broadcast: Broadcast | None = None, cost: int = 4, merge: CartMerger | None = None, capacity: int = 100
    ) -> House:
        """A house with keys loaded and its poller not running: tests call `principals.poll()` or run it."""
        engine = create_engine(self._url, pool_size=65, pool_timeout_seconds=5)
        tx = Transactor(engine, self.clock)
        passwords = Passwords(b"pepper", cost)
        self._stack.push_async_callback(engine.dispose)
        self._stack.push_async_callback(tx.drain)
        self._stack.callback(passwords.close)
        keys = KeyRing(b"s" * 32)
        await keys.load(tx)
        access = AccessTokens(
            keys,
            issuer="marketd",
            audience="marketd",
            lifetime=timedelta(minutes=15),
            leeway=timedelta(seconds=30),
        )
        rules = SessionRules(lifetime=timedelta(days=30), grace=timedelta(seconds=10))
        signing_in = SigningIn(tx, passwords, access, RefreshTokens(b"r" * 32), rules, merge)
        broadcast = broadcast or LocalBroadcast()
        principals = Principals(tx, access, keys, broadcast, self.clock, capacity=capacity)
        tx.listen(principals.on_commit)
        return House(tx, self.clock, passwords, keys, access, signing_in, broadcast, principals)


@pytest.fixture
async def builder(database_url: str) -> AsyncIterator[Builder]:
    """Makes workers on the test's database."""
    async with AsyncExitStack() as stack:
        yield Builder(database_url, stack)


@pytest.fixture
async def house(builder: Builder) -> House:
    """One worker."""
    return await builder.build()
