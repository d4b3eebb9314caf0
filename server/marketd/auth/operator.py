"""What an operator does to the accounts and keys of a database without a server; built of as little as that takes."""

from __future__ import annotations

from marketd.auth import service as auth
from marketd.auth.accounts.passwords import Passwords, check_new_password
from marketd.auth.letters import Letters
from marketd.auth.service import AdminCreated
from marketd.auth.sessions.keys import KeyRing, rotate
from marketd.config import Settings
from marketd.kernel.call.seal import Seal
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import SystemClock


async def rotate_keys(settings: Settings, url: str, *, at_once: bool) -> str:
    """Make a new signing key and return its name; see sessions.keys.rotate. Raises SigningKeysUnreadable."""
    engine = create_engine(url, pool_size=1)
    ring = KeyRing(settings.derive("signing-keys"))
    try:
        tx = Transactor(engine, SystemClock())
        return (await tx.run("auth.rotate_keys", lambda uow: rotate(uow, ring, at_once=at_once))).kid
    finally:
        await engine.dispose()


async def create_admin(settings: Settings, url: str, email: str, password: str) -> AdminCreated:
    """Make sure that `email` is an administrator; see auth.service.create_admin. Raises the password's refusals."""
    check_new_password(password, email)
    engine = create_engine(url, pool_size=1)
    passwords = Passwords(settings.password_pepper.get_secret_value().encode(), settings.bcrypt_cost)
    try:
        password_hash = await passwords.hash(password)
        tx = Transactor(engine, SystemClock())
        return await tx.run("auth.create_admin", lambda uow: auth.create_admin(uow, email, password_hash))
    finally:
        passwords.close()
        await engine.dispose()


async def disable_totp(settings: Settings, url: str, login: str) -> bool:
    """Remove somebody's second factor; see auth.service.disable_totp. Raises NotFound."""
    engine = create_engine(url, pool_size=1)
    letters = Letters(Seal(settings.derive("letters")))
    try:
        tx = Transactor(engine, SystemClock())
        return await tx.run("auth.operator_disable_totp", lambda uow: auth.disable_totp(uow, letters, login))
    finally:
        await engine.dispose()
