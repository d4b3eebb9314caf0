"""The language of letters: the account's own, else what the call says that its caller reads."""

from __future__ import annotations

import json
import secrets

import pytest
from marketd.transport.links.beginning import first_language
from marketplace.auth.v1 import auth_service_pb2, user_pb2, user_service_pb2

from tests.worlds.jobs import run_due
from tests.worlds.matrix import Market
from tests.worlds.things import PASSWORD, Person

AUTH = "/marketplace.auth.v1.AuthService"


async def locale_of_last_letter(market: Market, email: str, template: str) -> str:
    """The language of the last letter of a kind; it waits in the job table, and what writes it may be a job itself."""
    statement = (
        "SELECT payload FROM jobs WHERE payload->>'to' = $1 AND payload->>'template' = $2 ORDER BY job_id DESC LIMIT 1"
    )
    while (payload := await market.value(statement, email, template)) is None:
        assert await run_due(market.app.core.jobs), f"no {template} for {email}"
    return str(json.loads(payload)["locale"])


async def newcomer(market: Market, language: str = "") -> Person:
    person = await market.register(email=f"{secrets.token_hex(8)}@example.com", password=PASSWORD)
    if language:
        user = user_pb2.User(user_id=person.user_id, language_code=language)
        await market.call(user_service_pb2.UpdateUserRequest(user=user), person)
    return person


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    ("own", "accepted", "written_in"),
    [("", "", "en"), ("", "pt-BR, en;q=0.8", "pt-BR"), ("de", "fr", "de"), ("", "nonsense!, *", "en")],
)
async def test_letters_are_in_the_language_of_the_account_or_of_the_call(
    market: Market, own: str, accepted: str, written_in: str
) -> None:
    person = await newcomer(market, own)
    metadata = (("accept-language", accepted),) if accepted else ()
    verification = auth_service_pb2.SendVerificationRequest(channel=auth_service_pb2.VERIFICATION_CHANNEL_EMAIL)
    await market.send(f"{AUTH}/SendVerification", verification, by=person, metadata=metadata)
    assert await locale_of_last_letter(market, person.email, "verification_code") == written_in
    reset = auth_service_pb2.RequestPasswordResetRequest(email=person.email)
    await market.send(f"{AUTH}/RequestPasswordReset", reset, metadata=metadata)
    assert await locale_of_last_letter(market, person.email, "password_reset") == written_in


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de", "de"),
        ("de-AT, de;q=0.9, en;q=0.8", "de-AT"),
        ("en;q=0.2, fr;q=0.7", "fr"),
        ("fr;q=0", ""),
        ("*", ""),
        ("en;q=nan, ../etc, de", "de"),
        ("*," * 5_000 + "de", ""),  # nobody reads so many, so nobody pays for taking them apart
        ("", ""),
    ],
)
def test_the_language_that_is_liked_best_is_taken(accepted: str, language: str) -> None:
    assert first_language(accepted) == language
