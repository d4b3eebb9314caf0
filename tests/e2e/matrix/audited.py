"""What stands in the audit log of an effect: the thing that it was done to, written in the transaction that did it.

The edge adds an entry where nobody wrote one. That one names no thing, and is lost with the process.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from tests.worlds.agreed import agreed
from tests.worlds.matrix import Market

_THINGS: Final = {
    "AuthService": "user",
    "AuthService/RevokeSession": "session",
    "AuthService/CreateServiceAccount": "service_account",
    "AuthService/IssueServiceToken": "service_account",
    "AuthService/RevokeServiceAccount": "service_account",
    # Whether there is such an account, the log does not say either.
    "AuthService/RequestPasswordReset": "",
    "UserService": "user",
    "CatalogService/CreateBrand": "brand",
    "CatalogService/UpdateBrand": "brand",
    "CatalogService/DeleteBrand": "brand",
    "CatalogService/CreateCategory": "category",
    "CatalogService/UpdateCategory": "category",
    "CatalogService/DeleteCategory": "category",
    "CourierService": "courier",
    "DeliveryService": "delivery",
    "OrderService": "order",
    "PaymentService": "payment",
    "PromotionService": "promo_code",
    "ReviewService": "review",
    "SellerService": "seller",
}
"""By rpc, or by service where each rpc of it has the same; written by hand."""
_LAST: Final = "SELECT xmin::text, * FROM audit_entries WHERE method = $1 ORDER BY audit_entry_id DESC LIMIT 1"
_TOLD: Final = """
SELECT count(*) FROM audit_entries WHERE method = $1 AND correlation_id = $2 AND resource_type = $3
"""
_KEPT: Final = "SELECT xmin::text FROM idempotency_keys WHERE request_id = $1"
_TWO_STEPS: Final = frozenset({"/marketplace.payment.v1.PaymentService/RefundPayment"})
"""What is done and what is answered are two transactions, with the provider asked between them."""
AUDITED: Final = frozenset(path for path, line in agreed().items() if line.is_audited)


def thing_of(method: str) -> str:
    """The kind of thing that this rpc is about."""
    name = method.rpartition(".")[2]
    return _THINGS[name] if name in _THINGS else _THINGS[name.partition("/")[0]]


async def check_last_entry(market: Market, method: str, request_id: str = "") -> None:
    """The last call of the audited rpc was well, and its one entry names a thing of the right kind.

    With a request id it was written by the transaction that keeps the answer.
    """
    row = await market.app.parts.tx.read(lambda unit: unit.connection.fetchrow(_LAST, method))
    assert row is not None
    thing = thing_of(method)
    assert (row["code"], row["resource_type"], bool(row["resource_id"])) == ("OK", thing, bool(thing))
    told = await market.app.parts.tx.read(
        lambda unit: unit.connection.fetchval(_TOLD, method, row["correlation_id"], thing)
    )
    assert told == 1, "it is told of twice, or nobody can tell which call it was"
    if request_id and thing and method not in _TWO_STEPS:
        kept = await market.app.parts.tx.read(lambda unit: unit.connection.fetchval(_KEPT, UUID(request_id)))
        assert row["xmin"] == kept
