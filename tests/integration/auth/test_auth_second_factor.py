"""The second factor on real Postgres: it is needed once it is confirmed, and each of its codes is good once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from marketd.auth.accounts.block import block_account
from marketd.auth.accounts.find import find_account
from marketd.auth.codes import throttle
from marketd.auth.codes.values import FactorProof, Proof
from marketd.auth.errors import AccountBlocked, CodeWrong, InvalidCredentials, TooManyFailures, TotpRequired
from marketd.auth.sessions.sign_in import SignedIn
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import IllegalTransition, NotFound
from marketd.kernel.call.seal import Seal, SealBroken
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.values.ids import new_id

from tests.canaries import MARK, WATCH

if TYPE_CHECKING:
    from tests.worlds.auth import House


PASSWORD = f"correct horse battery {MARK}"
STRANGER = Caller(None, None, frozenset(), "192.0.2.7")


def _code(house: House, secret: str, steps: int = 0) -> str:
    return WATCH.code(pyotp.TOTP(secret).at(house.clock.now() + timedelta(seconds=30 * steps)))


async def _enrolled(house: House, name: str) -> tuple[SignedIn, Caller, str, list[str]]:
    """An account with a second factor: its sign-in, its caller, the secret, the recovery codes."""
    done = await house.register(name)
    caller = await house.caller(done)
    secret = (await house.enroll(caller)).secret
    codes = await house.factor.confirm(caller, _code(house, secret))
    # The code that confirmed is used up.
    house.clock.advance(timedelta(seconds=60))
    return done, caller, secret, codes


async def test_an_enrolled_factor_is_not_needed_before_it_is_confirmed(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    first = await house.enroll(caller)
    second = await house.enroll(caller)
    assert first.secret != second.secret
    assert not (await house.login("jo")).account.totp_enabled
    with pytest.raises(CodeWrong):
        await house.factor.confirm(caller, _code(house, first.secret))
    assert len(await house.factor.confirm(caller, _code(house, second.secret))) == 10
    with pytest.raises(IllegalTransition):
        await house.enroll(caller)
    with pytest.raises(IllegalTransition):
        await house.factor.confirm(caller, _code(house, second.secret, 1))


async def test_the_uri_is_what_authenticators_read(house: House) -> None:
    made = await house.enroll(await house.caller(await house.register("jo")))
    uri = urlsplit(made.uri)
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert parse_qs(uri.query) == {"secret": [made.secret], "issuer": ["Shop"]}


async def test_signing_in_needs_the_code_and_says_so_only_to_who_knows_the_password(house: House) -> None:
    _, _, secret, _ = await _enrolled(house, "jo")
    with pytest.raises(InvalidCredentials):
        await house.login("jo", "wrong horse battery", code=_code(house, secret))
    with pytest.raises(TotpRequired):
        await house.login("jo")
    with pytest.raises(TotpRequired):
        await house.login("jo", code=f"{(int(_code(house, secret)) + 1) % 1_000_000:06d}")
    assert (await house.login("jo", code=_code(house, secret))).account.totp_enabled


async def test_neither_the_mailbox_nor_the_password_buys_fresh_guesses_at_the_code(house: House) -> None:
    _, caller, secret, _ = await _enrolled(house, "jo")
    wrong = f"{(int(_code(house, secret)) + 1) % 1_000_000:06d}"
    judged, fresh = 0, PASSWORD
    for turn in range(6):
        await house.recovering.request("jo@shop.example", STRANGER.address)
        await house.deliver()
        fresh = f"{PASSWORD} {turn}"
        await house.reset(STRANGER, house.mailbox.last("password_reset")["token"], fresh)
        house.clock.advance(timedelta(minutes=1))
        for name in ("jo", "jo@shop.example"):
            for _ in range(throttle.FREE):
                try:
                    await house.login(name, fresh, code=wrong)
                except TotpRequired:
                    judged += 1
                except TooManyFailures:
                    break
    assert throttle.FREE <= judged <= throttle.LIMIT
    with pytest.raises(TooManyFailures):
        await house.disable_totp(caller, FactorProof(totp_code=wrong))
    # The right code is the way out, as soon as one may try.
    house.clock.advance(throttle.FORGET)
    await house.login("jo", fresh, code=_code(house, secret))
    await house.login("jo", fresh, code=_code(house, secret, 1))


async def test_the_audit_log_says_what_was_proven(house: House) -> None:
    _, caller, secret, codes = await _enrolled(house, "jo")
    await house.register("ann")
    await house.login("ann")
    await house.login("jo", code=_code(house, secret))
    await house.login("jo", recovery=codes[0])
    rows = await house.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT actor_id = $1 AS is_jo, comment FROM audit_entries WHERE comment LIKE 'password%'"
            " ORDER BY audit_entry_id",
            caller.known_user_id,
        )
    )
    assert [tuple(row) for row in rows] == [
        (False, "password"),
        (True, "password, TOTP"),
        (True, "password, recovery code"),
    ]


async def test_a_code_is_good_once_and_an_older_one_not_after_it(house: House) -> None:
    _, _, secret, _ = await _enrolled(house, "jo")
    code = _code(house, secret)
    outcomes = await asyncio.gather(*(house.login("jo", code=code) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, SignedIn) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, TotpRequired) for outcome in outcomes) == 4
    with pytest.raises(TotpRequired):
        await house.login("jo", code=_code(house, secret, -1))
    await house.login("jo", code=_code(house, secret, 1))


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (1, True), (2, False)])
async def test_clocks_may_differ_by_one_step(house: House, steps: int, good: bool) -> None:
    _, _, secret, _ = await _enrolled(house, "jo")
    house.clock.advance(timedelta(seconds=60))
    if good:
        await house.login("jo", code=_code(house, secret, steps))
    else:
        with pytest.raises(TotpRequired):
            await house.login("jo", code=_code(house, secret, steps))


async def test_a_recovery_code_signs_in_once_however_it_is_typed(house: House) -> None:
    _, _, _, codes = await _enrolled(house, "jo")
    assert len(set(codes)) == 10
    await house.login("jo", recovery=codes[0].lower().replace("-", " "))
    with pytest.raises(TotpRequired):
        await house.login("jo", recovery=codes[0])
    await house.login("jo", recovery=codes[1])


async def test_guessing_the_code_with_the_right_password_is_throttled(house: House) -> None:
    _, _, secret, _ = await _enrolled(house, "jo")
    wrong = f"{(int(_code(house, secret)) + 1) % 1_000_000:06d}"
    for _ in range(throttle.FREE):
        with pytest.raises(TotpRequired):
            await house.login("jo", code=wrong)
        # Asking what is needed does not start the count anew.
        with pytest.raises((TotpRequired, TooManyFailures)):
            await house.login("jo")
    with pytest.raises(TooManyFailures):
        await house.login("jo", code=wrong)


async def test_asking_whether_a_code_is_needed_counts_as_no_failure(house: House) -> None:
    _, _, secret, _ = await _enrolled(house, "jo")
    for _ in range(throttle.FREE + 5):
        with pytest.raises(TotpRequired):
            await house.login("jo")
    await house.login("jo", code=_code(house, secret))


async def test_the_factor_goes_only_with_one_of_its_codes(house: House) -> None:
    _, caller, secret, codes = await _enrolled(house, "jo")
    for proof in (FactorProof(), FactorProof("000000"), FactorProof("", "WRONG-CODES")):
        with pytest.raises(TotpRequired):
            await house.disable_totp(caller, proof)
    before = (await house.tx.read(lambda unit: find_account(unit.connection, caller.known_user_id))).version
    await house.disable_totp(caller, FactorProof(_code(house, secret)))
    account = (await house.login("jo")).account
    assert not account.totp_enabled
    assert account.version > before  # whoever read the account before has another etag
    with pytest.raises(IllegalTransition):
        await house.disable_totp(caller, FactorProof("", codes[0]))


async def test_a_right_code_forgets_the_wrong_ones_wherever_it_is_shown(house: House) -> None:
    _, caller, secret, codes = await _enrolled(house, "jo")
    wrong = FactorProof("", "WRONG-CODES")

    async def nearly() -> None:
        for _ in range(throttle.FREE - 1):
            with pytest.raises(TotpRequired):
                await house.change_email(caller, "new@shop.example", Proof(factor=wrong))

    await nearly()
    await house.change_email(caller, "new@shop.example", Proof(factor=FactorProof("", codes[0])))
    await nearly()
    await house.login("jo", recovery=codes[1])
    await nearly()
    await house.disable_totp(caller, FactorProof("", codes[2]))
    # Those of the factor that is gone say nothing about the next one.
    secret = (await house.enroll(caller)).secret
    await house.factor.confirm(caller, _code(house, secret, 1))
    await nearly()


async def test_a_stolen_session_does_not_guess_the_factor_away(house: House) -> None:
    _, caller, _, _ = await _enrolled(house, "jo")
    for _ in range(throttle.FREE):
        with pytest.raises(TotpRequired):
            await house.disable_totp(caller, FactorProof("", "WRONG-CODES"))
    with pytest.raises(TooManyFailures):
        await house.disable_totp(caller, FactorProof("", "WRONG-CODES"))


async def test_no_secret_or_recovery_code_is_in_the_database(house: House) -> None:
    _, caller, secret, codes = await _enrolled(house, "jo")

    async def dump(unit: ReadUnit) -> str:
        rows = [
            row[0]
            for table in ("totp_factors", "recovery_codes", "audit_entries", "jobs")
            for row in await unit.connection.fetch(f'SELECT t::text FROM "{table}" t')
        ]
        return "\n".join(rows)

    everything = await house.tx.read(dump)
    for value in (secret, *codes, *(code.replace("-", "") for code in codes)):
        assert value not in everything
        assert value.encode().hex() not in everything
    sealed = await house.tx.read(lambda unit: unit.connection.fetchval("SELECT sealed_secret FROM totp_factors"))
    assert Seal(house.secret("totp")).open(sealed, f"totp:{caller.known_user_id}") == secret.encode()
    with pytest.raises(SealBroken):
        Seal(house.secret("totp")).open(sealed, f"totp:{new_id()}")


async def test_a_service_or_a_blocked_account_has_no_factor(house: House) -> None:
    with pytest.raises(NotFound):
        await house.enroll(Caller(new_id(), new_id(), frozenset({Role.SERVICE})))
    _, caller, secret, _ = await _enrolled(house, "jo")
    await house.tx.run("test.block", lambda uow: block_account(uow, caller.known_user_id))
    with pytest.raises(AccountBlocked):
        await house.login("jo", code=_code(house, secret))
