"""Service accounts: internal services with credentials of their own, and the short tokens they get for them."""

from __future__ import annotations

import base64
import hmac
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from marketd.audit import log
from marketd.auth.codes.credentials import hash_token
from marketd.auth.errors import ClientUnknown
from marketd.auth.services import repository
from marketd.auth.services.values import ServiceAccount
from marketd.auth.sessions import access_changes
from marketd.auth.sessions.access_tokens import AccessToken, AccessTokens
from marketd.auth.sessions.model import ChangeKind
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, NotFound
from marketd.kernel.db.database import constraint_of
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id

# There is nothing to refresh it with: the service asks again.
TOKEN_LIFETIME: Final = timedelta(minutes=5)
_NOBODY: Final = UUID(int=0)


class ServiceAccounts:
    """The use cases around service accounts."""

    def __init__(self, tx: Transactor, access: AccessTokens, secret_key: bytes) -> None:
        self._tx = tx
        self._access = access
        self._secret_key = secret_key

    def secret_of(self, service_account_id: UUID) -> str:
        """The account's secret, 256 bits as base64url: made of its id, so that no stored answer needs to hold it."""
        digest = hmac.digest(self._secret_key, service_account_id.bytes, "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    async def create(self, uow: UnitOfWork, caller: Caller, name: str) -> ServiceAccount:
        """Make one. Raises AlreadyExists when another that is not revoked has the name."""
        service_account_id = new_id()
        secret_hash = hash_token(self.secret_of(service_account_id))
        try:
            account = await repository.insert(uow.connection, service_account_id, name, secret_hash, uow.now)
        except asyncpg.UniqueViolationError as error:
            if constraint_of(error) != "uq_service_accounts_name":
                raise
            raise AlreadyExists("service account", "name") from error
        await log.record(uow, caller, "service_account", account.service_account_id, name, after=account)
        return account

    async def issue(self, caller: Caller, client_id: str, client_secret: str) -> AccessToken:
        """A short token for whoever knows the secret. Raises ClientUnknown: unknown, wrong and revoked look the same,
        also in what they cost.

        The secret has 256 random bits: it is not to be guessed, so nothing is slow here and nothing is counted.
        """
        service_account_id = _id_of(client_id)
        # Never what was typed: secrets get pasted into the wrong field.
        calls.current().about = f"service_account/{service_account_id or ''}"
        presented = hash_token(client_secret)

        async def work(uow: UnitOfWork) -> tuple[UUID, datetime]:
            is_right = await repository.use(uow.connection, service_account_id or _NOBODY, presented, uow.now)
            if not is_right or service_account_id is None:
                raise ClientUnknown
            service = Caller(service_account_id, service_account_id, frozenset({Role.SERVICE}), caller.address)
            await log.record(uow, service, "service_account", service_account_id)
            return service_account_id, uow.now

        known, now = await self._tx.run("auth.issue_service_token", work)
        return self._access.issue_service(known, now, TOKEN_LIFETIME)


async def revoke(uow: UnitOfWork, caller: Caller, service_account_id: UUID) -> ServiceAccount:
    """Revoke it for good; its tokens and streams end within 2 s. Twice is once. Raises NotFound."""
    before = await repository.read(uow.connection, service_account_id)
    if await repository.revoke(uow.connection, service_account_id, uow.now):
        # To everybody who listens a service is an account with one session, both of its own id.
        await access_changes.record(uow, ChangeKind.SESSION_REVOKED, service_account_id, service_account_id)
    account = await repository.read(uow.connection, service_account_id)
    if account is None:
        raise NotFound("service account", service_account_id)
    await log.record(uow, caller, "service_account", service_account_id, before=before, after=account)
    return account


async def list_service_accounts(
    unit: ReadUnit, after: UUID | None, limit: int, *, descending: bool
) -> list[ServiceAccount]:
    """All of them, by when they were made, from the one after the last one shown on."""
    return await repository.list_page(unit.connection, after, limit, descending=descending)


def _id_of(client_id: str) -> UUID | None:
    try:
        return UUID(client_id)
    except ValueError:
        return None
