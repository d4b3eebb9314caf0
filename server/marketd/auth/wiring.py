"""How auth is put together: what makes callers out of passwords and tokens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from marketd.auth.accounts.delete import Deleting
from marketd.auth.accounts.passwords import Passwords
from marketd.auth.accounts.servicer import UserServicer
from marketd.auth.codes.change import Changing
from marketd.auth.codes.credentials import CodeHasher
from marketd.auth.codes.enroll import Enrolling
from marketd.auth.codes.proof import Proving
from marketd.auth.codes.recover import RESET_JOB, Recovering
from marketd.auth.codes.second_factor import SecondFactor
from marketd.auth.codes.send import CodeSender
from marketd.auth.codes.throttle import PATIENCE_SECONDS, Throttle
from marketd.auth.codes.undo import Undoing
from marketd.auth.codes.verify import Verifying
from marketd.auth.letters import Letters, letters_of
from marketd.auth.ports import AccessEnded, AccountEnded, AccountHolder, CartMerger
from marketd.auth.servicer import AuthServicer
from marketd.auth.services.service_accounts import ServiceAccounts
from marketd.auth.sessions.access_tokens import AccessTokens
from marketd.auth.sessions.keys import KeyRing
from marketd.auth.sessions.principals import CAPACITY, Principals
from marketd.auth.sessions.refresh_tokens import RefreshTokens
from marketd.auth.sessions.sign_in import SigningIn
from marketd.auth.sessions.values import MAX_OPEN, SessionRules
from marketd.auth.sweeps import sweep
from marketd.kernel.call.guest_tokens import guest_tokens_of
from marketd.kernel.call.seal import Seal
from marketd.kernel.db.invariants import Invariant
from marketd.kernel.slice import Parts, Slice, Sweep

SERVICERS: Final = (AuthServicer, UserServicer)
INVARIANTS: Final[tuple[Invariant, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthMachinery:
    """What auth's servicers and its background work stand on, made once for a process."""

    passwords: Passwords
    keys: KeyRing
    access: AccessTokens
    principals: Principals
    rules: SessionRules
    letters: Letters
    attempts: Throttle
    factor: SecondFactor
    proving: Proving
    enrolling: Enrolling
    changing: Changing
    verifying: Verifying
    recovering: Recovering
    undoing: Undoing
    signing_in: SigningIn
    services: ServiceAccounts


def make_machinery(
    parts: Parts,
    *,
    merge_guest_cart: CartMerger,
    max_open_sessions: int = MAX_OPEN,
    known_callers: int = CAPACITY,
    patience_seconds: Sequence[float] = PATIENCE_SECONDS,
) -> AuthMachinery:
    """The machinery of these settings; its keys are not loaded yet.

    max_open_sessions: of an account. known_callers: how many are kept in memory. patience_seconds: see Throttle.
    """
    settings, tx = parts.settings, parts.tx
    letters = letters_of(settings)
    keys = KeyRing(settings.derive("signing-keys"))
    access = AccessTokens(
        keys,
        issuer=settings.issuer,
        audience=settings.audience,
        lifetime=settings.access_token_lifetime,
        leeway=settings.clock_leeway,
    )
    passwords = Passwords(settings.password_pepper.get_secret_value().encode(), settings.bcrypt_cost)
    hasher = CodeHasher(settings.derive("codes"))
    attempts = Throttle(tx, hasher, patience_seconds=patience_seconds)
    factor = SecondFactor(tx, Seal(settings.derive("totp")), hasher, attempts, letters, issuer=settings.shop_name)
    proving = Proving(passwords, attempts, factor)
    sender = CodeSender(hasher, letters)
    changing = Changing(tx, proving, sender, letters)
    recovering = Recovering(tx, passwords, hasher, attempts, letters)
    rules = SessionRules(
        settings.refresh_token_lifetime,
        settings.session_idle_lifetime,
        settings.refresh_grace,
        max_open_sessions,
        admin_totp=settings.admin_totp,
    )
    refresh = RefreshTokens(settings.derive("refresh-tokens"))
    principals = Principals(
        tx,
        access,
        keys,
        parts.broadcast,
        parts.clock,
        watch=parts.spare,
        capacity=known_callers,
        admin_totp=settings.admin_totp,
    )
    tx.listen(principals.on_commit)
    return AuthMachinery(
        passwords=passwords,
        keys=keys,
        access=access,
        principals=principals,
        rules=rules,
        letters=letters,
        attempts=attempts,
        factor=factor,
        proving=proving,
        enrolling=Enrolling(tx, proving, factor),
        changing=changing,
        verifying=Verifying(hasher, sender, changing, letters),
        recovering=recovering,
        undoing=Undoing(recovering, letters),
        signing_in=SigningIn(tx, passwords, access, refresh, rules, attempts, factor, letters, merge_guest_cart),
        services=ServiceAccounts(tx, access, settings.derive("service-secrets")),
    )


def build(
    parts: Parts,
    *,
    merge_guest_cart: CartMerger,
    holders: Collection[AccountHolder],
    access_ended: Collection[AccessEnded],
    account_ended: Collection[AccountEnded],
) -> Slice:
    """Auth's part of a process. `holders` say what keeps an account from being deleted; `access_ended` and
    `account_ended`, in the order of the locks, see to what it leaves behind.

    Its start raises SigningKeysUnreadable.
    """
    made = make_machinery(parts, merge_guest_cart=merge_guest_cart)
    return build_on(made, parts, holders=holders, access_ended=access_ended, account_ended=account_ended)


def build_on(
    made: AuthMachinery,
    parts: Parts,
    *,
    holders: Collection[AccountHolder],
    access_ended: Collection[AccessEnded] = (),
    account_ended: Collection[AccountEnded] = (),
) -> Slice:
    """Auth's part of a process, on machinery that was made of the same parts."""
    tx = parts.tx
    return Slice(
        servicers=[
            AuthServicer(
                tx=tx,
                pager=parts.pager,
                keys=made.keys,
                rules=made.rules,
                signing_in=made.signing_in,
                verifying=made.verifying,
                recovering=made.recovering,
                factor=made.factor,
                enrolling=made.enrolling,
                changing=made.changing,
                undoing=made.undoing,
                services=made.services,
                guests=guest_tokens_of(parts.settings),
            ),
            UserServicer(
                tx=tx,
                pager=parts.pager,
                letters=made.letters,
                deleting=Deleting(tx, made.proving, holders, account_ended),
                access_ended=access_ended,
            ),
        ],
        jobs={RESET_JOB: made.recovering.send},
        sweeps=[Sweep("auth.sweep", sweep)],
        starts=[lambda: made.keys.load(tx)],
        tasks=[made.principals.run],
        closers=[made.passwords.close],
        authenticator=made.principals,
    )
