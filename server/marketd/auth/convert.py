"""Between auth's values and marketplace.auth.v1."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from marketplace.auth.v1 import auth_service_pb2, service_account_pb2, session_pb2, token_pb2, user_pb2
from marketplace.policy.v1 import policy_pb2
from marketplace.type.v1 import cart_merge_pb2

from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.repository import AccountRow
from marketd.auth.codes.credentials import Channel
from marketd.auth.ports import MergeReport
from marketd.auth.services.repository import ServiceAccountRow
from marketd.auth.sessions.keys import PublicKey
from marketd.auth.sessions.repository import SessionView
from marketd.auth.sessions.sign_in import TokenPair
from marketd.kernel.call.caller import Role
from marketd.kernel.values.etags import etag_of
from marketd.kernel.wire import to_timestamp


def to_roles(roles: Iterable[Role]) -> list[policy_pb2.Role.ValueType]:
    """The roles in a fixed order."""
    return sorted(policy_pb2.Role.Value(f"ROLE_{role.value}") for role in roles)


def to_user(account: AccountRow) -> user_pb2.User:
    """An account as its owner sees it."""
    return user_pb2.User(
        user_id=str(account.user_id),
        # What stands there of a deleted account is nobody's address.
        email="" if account.state is AccountState.DELETED else account.email,
        username=account.username,
        phone=account.phone,
        full_name=account.full_name,
        roles=to_roles(account.roles),
        state=user_pb2.UserState.Value(f"USER_STATE_{account.state.value}"),
        email_verified=account.email_verified,
        phone_verified=account.phone_verified,
        totp_enabled=account.totp_enabled,
        create_time=to_timestamp(account.create_time),
        update_time=to_timestamp(account.update_time),
        etag=etag_of(account.version),
    )


def to_tokens(pair: TokenPair) -> token_pb2.Tokens:
    """The tokens of a session: the one message that carries secrets."""
    return token_pb2.Tokens(
        access_token=pair.access.text,
        refresh_token=pair.grant.refresh.text,
        access_expire_time=to_timestamp(pair.access.expire_time),
        session_id=str(pair.grant.session_id),
        refresh_expire_time=to_timestamp(pair.refresh_expire_time),
    )


def to_session(session: SessionView, current: UUID | None) -> session_pb2.Session:
    """A session as its owner sees it; `current` is the one that asks."""
    return session_pb2.Session(
        session_id=str(session.session_id),
        device_name=session.device_name,
        address=session.address,
        create_time=to_timestamp(session.create_time),
        last_seen_time=to_timestamp(session.last_seen_time),
        expire_time=to_timestamp(session.expire_time),
        is_current=session.session_id == current,
    )


def to_service_account(account: ServiceAccountRow) -> service_account_pb2.ServiceAccount:
    """A service account; its client id is its id."""
    return service_account_pb2.ServiceAccount(
        service_account_id=str(account.service_account_id),
        client_id=str(account.service_account_id),
        name=account.name,
        create_time=to_timestamp(account.create_time),
        last_used_time=None if account.last_used_time is None else to_timestamp(account.last_used_time),
        revoke_time=None if account.revoke_time is None else to_timestamp(account.revoke_time),
    )


def from_channel(channel: auth_service_pb2.VerificationChannel.ValueType) -> Channel:
    """What is to be verified; the contract's rules have refused every other number."""
    return Channel(auth_service_pb2.VerificationChannel.Name(channel).removeprefix("VERIFICATION_CHANNEL_"))


def to_json_web_key(key: PublicKey) -> token_pb2.JsonWebKey:
    """A public key in the words of RFC 7517 and RFC 8037."""
    return token_pb2.JsonWebKey(kty="OKP", crv="Ed25519", x=key.x, kid=key.kid, alg="EdDSA", use="sig")


def to_cart_merge(report: MergeReport) -> cart_merge_pb2.CartMergeReport:
    """How the guest's cart was merged."""
    strategies, outcomes = cart_merge_pb2.CartMergeStrategy, cart_merge_pb2.CartMergeOutcome
    return cart_merge_pb2.CartMergeReport(
        cart_id=str(report.cart_id),
        strategy=strategies.Value(f"CART_MERGE_STRATEGY_{report.strategy.value}"),
        lines=[
            cart_merge_pb2.CartMergeLine(
                variant_id=str(line.variant_id),
                guest_quantity=line.guest_quantity,
                user_quantity=line.user_quantity,
                merged_quantity=line.merged_quantity,
                outcome=outcomes.Value(f"CART_MERGE_OUTCOME_{line.outcome.value}"),
            )
            for line in report.lines
        ],
        promo_codes=report.promo_codes,
    )
