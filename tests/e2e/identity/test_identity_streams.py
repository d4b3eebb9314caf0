"""What ends a session ends its open streams, on a worker that was not asked, within two seconds (T17).

A signing key that got out ends the streams that its tokens opened.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from marketd.auth import operator
from marketd.auth.sessions.principals import KEYS_SECONDS
from marketd.config import Settings
from marketplace.auth.v1 import auth_service_pb2 as pb
from marketplace.auth.v1 import user_service_pb2

from tests.canaries import MARK
from tests.e2e.identity.statuses import reason_of
from tests.worlds.workers import PASSWORD, Person, Worker

FRESH = f"another horse battery {MARK}"
Workers = tuple[Worker, Worker]
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _logout(worker: Worker, person: Person, other: Person, mail: Path) -> None:
    await worker.auth.Logout(pb.LogoutRequest(), metadata=person.metadata)


async def _logout_all(worker: Worker, person: Person, other: Person, mail: Path) -> None:
    await worker.auth.LogoutAll(pb.LogoutAllRequest(), metadata=other.metadata)


async def _revoke(worker: Worker, person: Person, other: Person, mail: Path) -> None:
    request = pb.RevokeSessionRequest(session_id=person.tokens.session_id)
    await worker.auth.RevokeSession(request, metadata=other.metadata)


async def _change(worker: Worker, person: Person, other: Person, mail: Path) -> None:
    request = pb.ChangePasswordRequest(current_password=PASSWORD, new_password=FRESH)
    await worker.auth.ChangePassword(request, metadata=other.metadata)


async def _reuse(worker: Worker, person: Person, other: Person, mail: Path) -> None:
    """The thief spends the stolen token first; its owner, who knows nothing, spends it too, after the grace."""
    stolen = pb.RefreshTokensRequest(refresh_token=person.tokens.refresh_token)
    thief = await worker.auth.RefreshTokens(stolen)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await worker.auth.RefreshTokens(stolen)
    assert reason_of(refused.value) == "REFRESH_TOKEN_REUSED"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await worker.auth.RefreshTokens(pb.RefreshTokensRequest(refresh_token=thief.tokens.refresh_token))
    assert reason_of(refused.value) == "SESSION_REVOKED"


async def _reset(worker: Worker, person: Person, other: Person, mail: Path) -> None:
    await worker.auth.RequestPasswordReset(pb.RequestPasswordResetRequest(email=person.email))
    letter = await _letter(mail, "password_reset", person.email)
    (token,) = re.findall(r"^([A-Za-z0-9_-]{43})\s*$", letter, re.MULTILINE)
    request = pb.ResetPasswordRequest(token=token, new_password=FRESH)
    await worker.auth.ResetPassword(request)
    assert (await worker.login(person.email, FRESH)).user_id == person.user_id
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await worker.auth.ResetPassword(request)
    assert reason_of(refused.value) == "TOKEN_INVALID"


async def _letter(mail: Path, template: str, to: str) -> str:
    """Somebody's letter of this kind, once the worker's job has put it into the folder; a folder tells nobody."""
    async with asyncio.timeout(20):
        while True:
            for path in mail.glob(f"*{template}.eml"):
                if f"To: {to}" in (letter := path.read_text()):
                    return letter
            await asyncio.sleep(0.05)


Ender = Callable[[Worker, Person, Person, Path], Awaitable[None]]


@pytest.mark.parametrize("end", [_logout, _logout_all, _revoke, _change, _reuse, _reset])
async def test_what_ends_a_session_ends_its_streams_on_another_worker(
    workers: Workers, boss: Person, shared_settings: Settings, end: Ender
) -> None:
    asked, other = workers
    person = await asked.courier(boss)
    second = await asked.login(person.email)
    stream = await other.stream(person)
    ended: asyncio.Task[Any] = asyncio.create_task(_end_of(stream))
    await end(asked, person, second, shared_settings.mail_folder)
    done = time.monotonic()
    async with asyncio.timeout(10):
        refusal, at = await ended
    assert at - done <= 2.0
    assert (refusal.code(), reason_of(refusal)) == (grpc.StatusCode.UNAUTHENTICATED, "SESSION_REVOKED")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await other.users.GetUser(user_service_pb2.GetUserRequest(user_id="me"), metadata=person.metadata)
    assert reason_of(refused.value) == "SESSION_REVOKED"


async def test_ending_one_session_leaves_the_streams_of_the_others_open(workers: Workers, boss: Person) -> None:
    asked, other = workers
    person = await asked.courier(boss)
    second = await asked.login(person.email)
    ending, staying = await other.stream(person), await other.stream(second)
    await _revoke(asked, person, second, Path())
    await _end_of(ending)
    assert not staying.done()
    await asked.auth.ListSessions(pb.ListSessionsRequest(), metadata=second.metadata)
    staying.cancel()


async def test_a_stream_opened_with_a_key_that_got_out_ends_and_a_refresh_opens_it_again(
    own_workers: Workers, own_boss: Person, settings: Settings
) -> None:
    worker = own_workers[0]
    person = await worker.courier(own_boss)
    stream = await worker.stream(person)
    await operator.rotate_keys(settings, worker.app.core.url, at_once=True)
    done = time.monotonic()
    async with asyncio.timeout(30):
        refusal, at = await _end_of(stream)
    assert at - done <= KEYS_SECONDS + 2.0
    assert (refusal.code(), reason_of(refusal)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
    refresh = pb.RefreshTokensRequest(refresh_token=person.tokens.refresh_token)
    answer = await worker.auth.RefreshTokens(refresh)
    (await worker.stream(Person(person.user_id, person.email, answer.tokens))).cancel()


async def test_a_revoked_service_is_refused_by_every_worker_within_two_seconds(workers: Workers, boss: Person) -> None:
    asked, other = workers
    made = await asked.auth.CreateServiceAccount(
        pb.CreateServiceAccountRequest(name=f"router-{uuid4().hex}"), metadata=boss.metadata
    )
    account = made.service_account
    issued = await other.auth.IssueServiceToken(
        pb.IssueServiceTokenRequest(client_id=account.client_id, client_secret=made.client_secret)
    )
    metadata = [("authorization", f"Bearer {issued.access_token}")]
    request = user_service_pb2.GetUserRequest(user_id=boss.user_id)
    for worker in workers:
        assert (await worker.users.GetUser(request, metadata=metadata)).user.user_id == boss.user_id
    revoke = pb.RevokeServiceAccountRequest(service_account_id=account.service_account_id)
    await asked.auth.RevokeServiceAccount(revoke, metadata=boss.metadata)
    until = time.monotonic() + 2.0
    for worker in workers:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _call_until(until, worker, request, metadata)
        assert reason_of(refused.value) == "SESSION_REVOKED"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await other.auth.IssueServiceToken(
            pb.IssueServiceTokenRequest(client_id=account.client_id, client_secret=made.client_secret)
        )
    assert reason_of(refused.value) == "INVALID_CREDENTIALS"


async def _call_until(
    until: float, worker: Worker, request: user_service_pb2.GetUserRequest, metadata: list[tuple[str, str]]
) -> None:
    while time.monotonic() < until:
        await worker.users.GetUser(request, metadata=metadata)


async def _end_of(stream: Any) -> tuple[grpc.aio.AioRpcError, float]:
    """How the stream ends, and when."""
    try:
        while await stream.read() is not grpc.aio.EOF:
            continue
    except grpc.aio.AioRpcError as refusal:
        return refusal, time.monotonic()
    raise AssertionError(f"the stream ended with {await stream.code()}")
