"""Auth on real Postgres: everything that app.py would build of it, on a clock that tests move by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from marketd.auth.accounts.passwords import Passwords
from marketd.auth.codes.credentials import CodeHasher
from marketd.auth.codes.recover import RESET_JOB, Recovering
from marketd.auth.codes.second_factor import SecondFactor
from marketd.auth.codes.throttle import Throttle
from marketd.auth.codes.values import FactorProof
from marketd.auth.codes.verify import Verifying
from marketd.auth.letters import Letters
from marketd.auth.ports import CartMerger
from marketd.auth.servicer import AuthServicer
from marketd.auth.services.service_accounts import ServiceAccounts
from marketd.auth.sessions.access_tokens import AccessTokens
from marketd.auth.sessions.keys import KeyRing
from marketd.auth.sessions.principals import Principals
from marketd.auth.sessions.refresh_tokens import RefreshTokens
from marketd.auth.sessions.sign_in import LogIn, RegisterAccount, SignedIn, SigningIn
from marketd.auth.sessions.values import SessionRules
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.pages import Pager
from marketd.kernel.call.seal import Seal
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.events.broadcast import Broadcast, LocalBroadcast
from marketd.kernel.values.clock import ManualClock
from marketd.kernel.values.ids import new_id
from marketd.kernel.work.job_runner import JobRunner
from marketd.kernel.work.jobs import Payload
from marketd.mail.jobs import MAIL, SEALED, SMS

from tests.canaries import MARK, WATCH
from tests.canary_looks import look_at_tables
from tests.worlds.jobs import run_due

PASSWORD = f"correct horse battery {MARK}"
STRANGER = Caller(None, None, frozenset(), "192.0.2.7")


class Mailbox:
    """What was written to people: takes the jobs in the place of mail and SMS, and opens what is sealed in them."""

    def __init__(self, letters: Letters) -> None:
        self._letters = letters
        self.sent: list[tuple[str, str, dict[str, str]]] = []
        """Template, recipient and values of each, the oldest first."""

    async def take(self, payload: Payload) -> None:
        """The job."""
        values = cast("dict[str, str]", payload["values"])
        opened = {
            name: self._letters.reveal(value) if value.startswith(SEALED) else value for name, value in values.items()
        }
        if "code" in opened:
            WATCH.code(opened["code"])
        self.sent.append((str(payload["template"]), str(payload["to"]), opened))

    def last(self, template: str) -> dict[str, str]:
        """The values of the last letter of this kind."""
        return next(values for name, _, values in reversed(self.sent) if name == template)

    def templates(self) -> list[str]:
        """What came, in order."""
        return [template for template, _, _ in self.sent]


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
    attempts: Throttle
    factor: SecondFactor
    verifying: Verifying
    recovering: Recovering
    services: ServiceAccounts
    jobs: JobRunner
    mailbox: Mailbox
    letters: Letters
    rules: SessionRules
    pager: Pager

    async def register(self, name: str = "", phone: str = "") -> SignedIn:
        """A fresh buyer with PASSWORD; a name makes e-mail address and username."""
        name = name or f"buyer-{new_id().hex}"
        command = RegisterAccount(f"{name}@shop.example", name, phone, "Jo Doe", "phone", PASSWORD)
        return await self.signing_in.register(STRANGER, command)

    async def login(
        self, login: str, password: str = PASSWORD, guest: str = "", code: str = "", recovery: str = ""
    ) -> SignedIn:
        """A further session."""
        return await self.signing_in.login(
            STRANGER, LogIn(login, "phone", password, guest, FactorProof(code, recovery))
        )

    async def deliver(self) -> None:
        """Run jobs until none is due: letters arrive in the mailbox."""
        while await run_due(self.jobs):
            continue

    async def caller(self, signed_in: SignedIn) -> Caller:
        """Who calls with these tokens."""
        return await self.principals.authenticate(signed_in.tokens.access.text)

    @property
    def servicer(self) -> AuthServicer:
        """The service on all that."""
        return AuthServicer(
            tx=self.tx,
            pager=self.pager,
            keys=self.keys,
            rules=self.rules,
            signing_in=self.signing_in,
            verifying=self.verifying,
            recovering=self.recovering,
            factor=self.factor,
            services=self.services,
        )


class Builder:
    """Builds houses on one database; each is a worker of its own, with an engine of its own."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url = url
        self._stack = stack
        self.clock = ManualClock(datetime.now(UTC))

    async def build(
        self,
        *,
        broadcast: Broadcast | None = None,
        cost: int = 4,
        merge: CartMerger | None = None,
        capacity: int = 100,
        max_open: int = 1_000,
    ) -> House:
        """A house with keys loaded and its poller not running: tests call `principals.poll()` or run it."""
        engine = create_engine(self._url, pool_size=65, pool_timeout_seconds=5)
        tx = Transactor(engine, self.clock)
        passwords = Passwords(f"pepper {MARK}".encode(), cost)
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
        rules = SessionRules(timedelta(days=30), timedelta(days=14), timedelta(seconds=10), max_open)
        hasher, letters = CodeHasher(b"c" * 32), Letters(Seal(b"l" * 32))
        # The clock is the tests': nobody waits a real second for it.
        attempts = Throttle(tx, hasher, patience_seconds=())
        factor = SecondFactor(tx, Seal(b"t" * 32), hasher, attempts, letters, issuer="Shop")
        signing_in = SigningIn(tx, passwords, access, RefreshTokens(b"r" * 32), rules, attempts, factor, letters, merge)
        recovering = Recovering(tx, passwords, hasher, attempts, letters)
        jobs, mailbox = JobRunner(tx), Mailbox(letters)
        jobs.register(RESET_JOB, recovering.send)
        jobs.register_outside(MAIL, mailbox.take)
        jobs.register_outside(SMS, mailbox.take)
        broadcast = broadcast or LocalBroadcast()
        principals = Principals(tx, access, keys, broadcast, self.clock, capacity=capacity)
        tx.listen(principals.on_commit)
        return House(
            tx=tx,
            clock=self.clock,
            passwords=passwords,
            keys=keys,
            access=access,
            signing_in=signing_in,
            broadcast=broadcast,
            principals=principals,
            attempts=attempts,
            factor=factor,
            verifying=Verifying(tx, hasher, letters),
            recovering=recovering,
            services=ServiceAccounts(tx, access),
            jobs=jobs,
            mailbox=mailbox,
            letters=letters,
            rules=rules,
            pager=Pager(tx, b"p" * 32),
        )


@pytest.fixture
async def builder(database_url: str) -> AsyncIterator[Builder]:
    """Makes workers on the test's database."""
    async with AsyncExitStack() as stack:
        yield Builder(database_url, stack)
    await look_at_tables(database_url)


@pytest.fixture
async def house(builder: Builder) -> House:
    """One worker."""
    return await builder.build()
