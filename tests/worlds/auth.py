"""Auth on real Postgres: workers as app.py would build them, on a clock that tests move by hand."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar, cast
from uuid import UUID

from marketd.auth import wiring
from marketd.auth.accounts.delete import Deleting
from marketd.auth.accounts.servicer import UserServicer
from marketd.auth.accounts.values import Account
from marketd.auth.codes.model import VerificationChannel
from marketd.auth.codes.recover import ChangePassword
from marketd.auth.codes.values import Enrollment, FactorProof, Proof
from marketd.auth.letters import Letters
from marketd.auth.ports import AccountHolder, CartMerger, MergeReport, MergeStrategy
from marketd.auth.servicer import AuthServicer
from marketd.auth.services.service_accounts import revoke
from marketd.auth.services.values import ServiceAccount
from marketd.auth.sessions.sign_in import LogIn, RegisterAccount, SignedIn
from marketd.auth.sessions.values import MAX_OPEN
from marketd.auth.wiring import AuthMachinery
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.broadcast import Broadcast
from marketd.kernel.slice import Parts
from marketd.kernel.values.clock import ManualClock
from marketd.kernel.values.ids import new_id
from marketd.kernel.work.jobs import Payload
from marketd.mail.jobs import MAIL, SEALED, SMS

from tests.canaries import MARK, WATCH
from tests.worlds.built import Built
from tests.worlds.parts import make_parts, make_settings

PASSWORD = f"correct horse battery {MARK}"
PROOF = Proof(PASSWORD)
STRANGER = Caller(None, None, frozenset(), "192.0.2.7")


class Mailbox:
    """What was written to people: takes the jobs in the place of mail and SMS, and opens what is sealed in them."""

    def __init__(self, letters: Letters) -> None:
        self._letters = letters
        self.discarded = 0
        """How many letters were written that nobody gets."""
        self.sent: list[tuple[str, str, dict[str, str]]] = []
        """Template, recipient and values of each, the oldest first."""

    async def take(self, payload: Payload) -> None:
        """The job."""
        if payload.get("to_nobody"):
            self.discarded += 1
            return
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


T = TypeVar("T")


def _raised(found: T | Refusal) -> T:
    """What a use case gave, or the refusal that it returned so that what was written stays."""
    if isinstance(found, Refusal):
        raise found
    return found


async def _no_cart(uow: UnitOfWork, user_id: UUID, guest_cart_id: UUID, strategy: MergeStrategy) -> MergeReport | None:
    return None


@dataclass(frozen=True)
class NewService:
    """A fresh service account, and its secret."""

    account: ServiceAccount
    client_secret: str


class House:
    """One worker's auth. Its background work does not run: tests call `principals.poll()`, or run it."""

    def __init__(self, parts: Parts, clock: ManualClock, made: AuthMachinery) -> None:
        self.parts, self.tx, self.clock, self.broadcast = parts, parts.tx, clock, parts.broadcast
        self.passwords, self.keys, self.access, self.rules = made.passwords, made.keys, made.access, made.rules
        self.principals, self.signing_in, self.attempts = made.principals, made.signing_in, made.attempts
        self.factor, self.verifying, self.recovering = made.factor, made.verifying, made.recovering
        self.enrolling, self.changing, self.undoing = made.enrolling, made.changing, made.undoing
        self.proving = made.proving
        self.services, self.letters = made.services, made.letters
        self._made = made
        self.built = self._build()
        self.jobs, self.mailbox = self.built.jobs, Mailbox(made.letters)
        self.jobs.register_outside(MAIL, self.mailbox.take)
        self.jobs.register_outside(SMS, self.mailbox.take)
        self.servicer = self.built.servicer(AuthServicer)

    def _build(self, *holders: AccountHolder) -> Built:
        build = partial(wiring.build_on, self._made, holders=holders)
        return Built(self.parts, "auth", instead={"auth": build})

    def users(self, *holders: AccountHolder) -> UserServicer:
        """The service for accounts, which these keep from being deleted."""
        return self._build(*holders).servicer(UserServicer)

    async def delete_user(self, caller: Caller, proof: Proof = PROOF) -> None:
        """Delete the caller's account, which nothing holds."""
        await Deleting(self.tx, self._made.proving, ()).delete(caller, caller.known_user_id, "", proof)

    def secret(self, purpose: str) -> bytes:
        """The key that auth has for it."""
        return self.parts.settings.derive(purpose)

    async def register(self, name: str = "", phone: str = "") -> SignedIn:
        """A fresh buyer with PASSWORD; a name makes e-mail address and username."""
        name = name or f"buyer-{new_id().hex}"
        command = RegisterAccount(f"{name}@shop.example", name, phone, "Jo Doe", "phone", PASSWORD)
        return await self.signing_in.register(STRANGER, command)

    async def login(
        self,
        login: str,
        password: str = PASSWORD,
        guest: UUID | None = None,
        code: str = "",
        recovery: str = "",
        device: str = "phone",
        caller: Caller = STRANGER,
    ) -> SignedIn:
        """A further session; with the device and from where `register` registers, unless told otherwise."""
        command = LogIn(login, device, password, guest, proof=FactorProof(code, recovery))
        return await self.signing_in.login(caller, command)

    async def reset(self, caller: Caller, token: str, password: str) -> None:
        """Set the password with the token of the letter."""
        await self.tx.run("test.reset", await self.recovering.prepare_reset(caller, token, password))

    async def change_password(self, caller: Caller, command: ChangePassword) -> None:
        """Set another password."""
        await self.tx.run("test.change", await self.recovering.prepare_change(caller, command))

    async def send_code(self, caller: Caller, channel: VerificationChannel) -> datetime:
        """Send a verification code; when it ends."""
        return await self.tx.run("test.send_code", lambda uow: self.verifying.send(uow, caller, channel))

    async def verify(self, caller: Caller, channel: VerificationChannel, code: str) -> Account:
        """Present a verification code."""
        return _raised(await self.tx.run("test.verify", lambda uow: self.verifying.verify(uow, caller, channel, code)))

    async def change_email(self, caller: Caller, email: str, proof: Proof = PROOF) -> datetime:
        """Ask for another e-mail address; when the code ends."""
        return _raised(await self.tx.run("test.email", await self.changing.prepare_email(caller, email, proof)))

    async def change_phone(self, caller: Caller, phone: str, proof: Proof = PROOF) -> datetime | None:
        """Ask for another phone, or for none; when the code ends."""
        return _raised(await self.tx.run("test.phone", await self.changing.prepare_phone(caller, phone, proof)))

    async def undo(self, token: str, caller: Caller = STRANGER) -> None:
        """Take a change of the e-mail address back."""
        await self.tx.run("test.undo", lambda uow: self.undoing.undo(uow, caller, token))

    async def code_sent(self) -> str:
        """The code of the last letter or short message that had one."""
        await self.deliver()
        return self.mailbox.last("verification_code")["code"]

    async def verified_phone(self, caller: Caller, phone: str) -> Account:
        """Change the phone, the code included."""
        await self.change_phone(caller, phone)
        return await self.verify(caller, VerificationChannel.PHONE, await self.code_sent())

    async def move(self, caller: Caller, email: str, proof: Proof = PROOF) -> Account:
        """Change the e-mail address, the code included."""
        await self.change_email(caller, email, proof)
        return await self.verify(caller, VerificationChannel.EMAIL, await self.code_sent())

    async def enroll(self, caller: Caller, password: str = PASSWORD) -> Enrollment:
        """The secret of a second factor that waits to be confirmed."""
        return await self.enrolling.enroll(caller, password)

    async def disable_totp(self, caller: Caller, proof: FactorProof) -> None:
        """Do without the second factor."""
        await self.tx.run("test.disable_totp", await self.factor.prepare_disable(caller, proof))

    async def create_service(self, caller: Caller, name: str) -> NewService:
        """A service account and its secret."""
        account = await self.tx.run("test.service", lambda uow: self.services.create(uow, caller, name))
        return NewService(account, self.services.secret_of(account.service_account_id))

    async def revoke_service(self, caller: Caller, service_account_id: UUID) -> ServiceAccount:
        """Revoke a service account."""
        return await self.tx.run("test.revoke", lambda uow: revoke(uow, caller, service_account_id))

    async def deliver(self) -> None:
        """Run jobs until none is due: letters arrive in the mailbox."""
        await self.built.run_jobs()

    async def caller(self, signed_in: SignedIn) -> Caller:
        """Who calls with these tokens."""
        return await self.principals.authenticate(signed_in.tokens.access.text)


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
        merge: CartMerger = _no_cart,
        capacity: int = 100,
        max_open: int = MAX_OPEN,
        admin_totp: bool = False,
    ) -> House:
        """A house with its keys loaded."""
        engine = create_engine(self._url, pool_size=65, pool_timeout_seconds=5)
        tx = Transactor(engine, self.clock)
        self._stack.push_async_callback(engine.dispose)
        self._stack.push_async_callback(tx.drain)
        settings = make_settings(bcrypt_cost=cost, shop_name="Shop", admin_totp=admin_totp)
        parts = make_parts(tx, clock=self.clock, broadcast=broadcast, settings=settings)
        made = wiring.make_machinery(
            parts,
            merge_guest_cart=merge,
            max_open_sessions=max_open,
            known_callers=capacity,
            patience_seconds=(),  # the clock is the tests': nobody waits a real second for it
        )
        house = House(parts, self.clock, made)
        self._stack.callback(house.built.close)
        await house.built.start()
        return house
