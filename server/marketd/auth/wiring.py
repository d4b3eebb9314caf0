"""How auth is put together: the part of the composition root that makes callers out of passwords and tokens."""

from __future__ import annotations

from marketplace.auth.v1 import auth_service_pb2_grpc, user_service_pb2_grpc

from marketd.auth.accounts.passwords import Passwords
from marketd.auth.accounts.servicer import UserServicer
from marketd.auth.codes.credentials import CodeHasher
from marketd.auth.codes.recover import RESET_JOB, Recovering
from marketd.auth.codes.second_factor import SecondFactor
from marketd.auth.codes.throttle import Throttle
from marketd.auth.codes.verify import Verifying
from marketd.auth.letters import Letters
from marketd.auth.servicer import AuthServicer
from marketd.auth.services.service_accounts import ServiceAccounts
from marketd.auth.sessions.access_tokens import AccessTokens
from marketd.auth.sessions.keys import KeyRing
from marketd.auth.sessions.principals import Principals
from marketd.auth.sessions.refresh_tokens import RefreshTokens
from marketd.auth.sessions.session import SessionRules
from marketd.auth.sessions.sign_in import SigningIn
from marketd.cart.merge import merge_guest_cart
from marketd.delivery.couriers import holds_account as courier_holds_account
from marketd.kernel.call.sealing import Seal
from marketd.process.process import Parts
from marketd.seller.service import holds_account as seller_holds_account
from marketd.transport.collector import Collector


async def add_auth(parts: Parts, collector: Collector, letters: Letters) -> Principals:
    """Add both services of auth; who calls, for the edge. Raises SigningKeysUnreadable."""
    settings = parts.settings
    keys = KeyRing(settings.derive("signing-keys"))
    await keys.load(parts.tx)
    access = AccessTokens(
        keys,
        issuer=settings.issuer,
        audience=settings.audience,
        lifetime=settings.access_token_lifetime,
        leeway=settings.clock_leeway,
    )
    principals = Principals(parts.tx, access, keys, parts.broadcast, parts.clock, watch=parts.readiness)
    parts.tx.listen(principals.on_commit)
    parts.tasks.append(principals.run)
    passwords = Passwords(settings.password_pepper.get_secret_value().encode(), settings.bcrypt_cost)
    parts.closers.append(passwords.close)
    hasher = CodeHasher(settings.derive("codes"))
    attempts = Throttle(parts.tx, hasher)
    factor = SecondFactor(parts.tx, Seal(settings.derive("totp")), hasher, attempts, letters, issuer=settings.shop_name)
    recovering = Recovering(parts.tx, passwords, hasher, attempts, letters)
    parts.jobs.register(RESET_JOB, recovering.send)
    rules = SessionRules(settings.refresh_token_lifetime, settings.session_idle_lifetime, settings.refresh_grace)
    signing_in = SigningIn(
        parts.tx,
        passwords,
        access,
        RefreshTokens(settings.derive("refresh-tokens")),
        rules,
        attempts,
        factor,
        letters,
        merge_guest_cart,
    )
    collector.add(
        auth_service_pb2_grpc.add_AuthServiceServicer_to_server,
        AuthServicer(
            tx=parts.tx,
            pages=parts.pages,
            keys=keys,
            rules=rules,
            signing_in=signing_in,
            verifying=Verifying(parts.tx, hasher, letters),
            recovering=recovering,
            factor=factor,
            services=ServiceAccounts(parts.tx, access),
        ),
    )
    collector.add(
        user_service_pb2_grpc.add_UserServiceServicer_to_server,
        UserServicer(
            tx=parts.tx, pages=parts.pages, letters=letters, holders=(seller_holds_account, courier_holds_account)
        ),
    )
    return principals
