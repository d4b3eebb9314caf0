"""Between auth's values and marketplace.auth.v1; accounts and addresses have their own."""

from __future__ import annotations

from uuid import UUID

from marketplace.auth.v1 import auth_service_pb2, service_account_pb2, session_pb2, token_pb2, user_service_pb2
from marketplace.type.v1 import cart_merge_pb2

from marketd.auth.codes.model import VerificationChannel
from marketd.auth.codes.values import FactorProof, Proof
from marketd.auth.ports import MergeOutcome, MergeReport, MergeStrategy
from marketd.auth.services.values import ServiceAccount
from marketd.auth.sessions.sign_in import TokenPair
from marketd.auth.sessions.values import PublicKey, Session
from marketd.kernel.enums import EnumMap
from marketd.kernel.wire import to_timestamp

CHANNELS = EnumMap(VerificationChannel, auth_service_pb2.VerificationChannel)
MERGE_STRATEGIES = EnumMap(MergeStrategy, cart_merge_pb2.CartMergeStrategy)
MERGE_OUTCOMES = EnumMap(MergeOutcome, cart_merge_pb2.CartMergeOutcome)


def from_proof(
    request: auth_service_pb2.ChangeEmailRequest
    | auth_service_pb2.ChangePhoneRequest
    | user_service_pb2.DeleteUserRequest,
) -> Proof:
    """What the caller presents to show that it is the owner."""
    return Proof(request.password, FactorProof(request.totp_code, request.recovery_code))


def to_tokens(pair: TokenPair) -> token_pb2.Tokens:
    """The tokens of a session: the one message that carries secrets."""
    return token_pb2.Tokens(
        access_token=pair.access.text,
        refresh_token=pair.grant.refresh.text,
        access_expire_time=to_timestamp(pair.access.expire_time),
        session_id=str(pair.grant.session_id),
        refresh_expire_time=to_timestamp(pair.refresh_expire_time),
    )


def to_session(session: Session, current: UUID | None) -> session_pb2.Session:
    """A session as its owner sees it; `current` is the one that asks."""
    return session_pb2.Session(
        session_id=str(session.session_id),
        device_name=session.device_name,
        address=session.address,
        create_time=to_timestamp(session.create_time),
        refresh_time=to_timestamp(session.refresh_time),
        expire_time=to_timestamp(session.expire_time),
        second_factor=session.second_factor,
        current=session.session_id == current,
    )


def to_service_account(account: ServiceAccount) -> service_account_pb2.ServiceAccount:
    """A service account; its client id is its id."""
    return service_account_pb2.ServiceAccount(
        service_account_id=str(account.service_account_id),
        client_id=str(account.service_account_id),
        name=account.name,
        create_time=to_timestamp(account.create_time),
        use_time=None if account.use_time is None else to_timestamp(account.use_time),
        revoke_time=None if account.revoke_time is None else to_timestamp(account.revoke_time),
    )


def to_json_web_key(key: PublicKey) -> token_pb2.JsonWebKey:
    """A public key in the words of RFC 7517 and RFC 8037."""
    return token_pb2.JsonWebKey(kty="OKP", crv="Ed25519", x=key.x, kid=key.kid, alg="EdDSA", use="sig")


def from_merge_strategy(number: int) -> MergeStrategy:
    """The strategy that is asked for; quantities are added when nothing is said."""
    return MERGE_STRATEGIES.optional_from_wire(number) or MergeStrategy.SUM


def to_cart_merge(report: MergeReport) -> cart_merge_pb2.CartMergeReport:
    """How the guest's cart was merged."""
    return cart_merge_pb2.CartMergeReport(
        cart_id=str(report.cart_id),
        strategy=MERGE_STRATEGIES.to_wire(report.strategy),
        lines=[
            cart_merge_pb2.CartMergeLine(
                variant_id=str(line.variant_id),
                guest_quantity=line.guest_quantity,
                user_quantity=line.user_quantity,
                merged_quantity=line.merged_quantity,
                outcome=MERGE_OUTCOMES.to_wire(line.outcome),
            )
            for line in report.lines
        ],
        promo_codes=report.promo_codes,
        dropped_promo_codes=report.dropped_promo_codes,
    )
