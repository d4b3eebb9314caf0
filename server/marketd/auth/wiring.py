"""How auth is put together: what makes callers out of passwords and tokens."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from marketd.auth.accounts.passwords import Passwords
from marketd.auth.accounts.servicer import UserServicer
from marketd.auth.codes.credentials import CodeHasher
from marketd.auth.codes.recover import RESET_JOB, Recovering
from marketd.auth.codes.second_factor import SecondFactor
from marketd.auth.codes.throttle import Throttle
from marketd.auth.codes.verify import Verifying
from marketd.auth.letters import letters_of
from marketd.auth.ports import AccountHolder, CartMerger
from marketd.auth.servicer import AuthServicer
from marketd.auth.services.service_accounts import ServiceAccounts
from marketd.auth.sessions.access_tokens import AccessTokens
from marketd.auth.sessions.keys import KeyRing
from marketd.auth.sessions.principals import Principals
from marketd.auth.sessions.refresh_tokens import RefreshTokens
from marketd.auth.sessions.sign_in import SigningIn
from marketd.auth.sessions.values import SessionRules
from marketd.auth.sweeps import sweep
from marketd.kernel.call.seal import Seal
from marketd.kernel.db.invariants import Invariant
from marketd.kernel.slice import Parts, Slice, Sweep

SERVICERS: Final = (AuthServicer, UserServicer)
INVARIANTS: Final[tuple[Invariant, ...]] = ()


def build(parts: Parts, *, merge_guest_cart: CartMerger, holders: Collection[AccountHolder]) -> Slice:
    """Auth's part of a process. `holders` say what keeps an account from being deleted.

    Its start raises SigningKeysUnreadable.
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
    principals = Principals(tx, access, keys, parts.broadcast, parts.clock, watch=parts.spare)
    tx.listen(principals.on_commit)
    passwords = Passwords(settings.password_pepper.get_secret_value().encode(), settings.bcrypt_cost)
    hasher = CodeHasher(settings.derive("codes"))
    attempts = Throttle(tx, hasher)
    factor = SecondFactor(tx, Seal(settings.derive("totp")), hasher, attempts, letters, issuer=settings.shop_name)
    recovering = Recovering(tx, passwords, hasher, attempts, letters)
    rules = SessionRules(settings.refresh_token_lifetime, settings.session_idle_lifetime, settings.refresh_grace)
    signing_in = SigningIn(
        tx,
        passwords,
        access,
        RefreshTokens(settings.derive("refresh-tokens")),
        rules,
        attempts,
        factor,
        letters,
        merge_guest_cart,
    )
    return Slice(
        servicers=[
            AuthServicer(
                tx=tx,
                pager=parts.pager,
                keys=keys,
                rules=rules,
                signing_in=signing_in,
                verifying=Verifying(tx, hasher, letters),
                recovering=recovering,
                factor=factor,
                services=ServiceAccounts(tx, access),
            ),
            UserServicer(tx=tx, pager=parts.pager, letters=letters, holders=holders),
        ],
        jobs={RESET_JOB: recovering.send},
        sweeps=[Sweep("auth.sweep", sweep)],
        starts=[lambda: keys.load(tx)],
        tasks=[principals.run],
        closers=[passwords.close],
        authenticator=principals,
    )
