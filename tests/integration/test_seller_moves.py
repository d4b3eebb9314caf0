"""Every move of a shop from every state: where it leads, or that it is refused. On real Postgres."""

from __future__ import annotations

from typing import Any, Final, cast

import pytest
from google.type.latlng_pb2 import LatLng
from marketd.auth.accounts.create import NewAccount, create_account
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import IllegalTransition
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.ids import new_id
from marketd.seller.servicer import SellerServicer
from marketplace.seller.v1 import seller_pb2, seller_service_pb2
from marketplace.type.v1.address_pb2 import Address

from tests.worlds.built import Built
from tests.worlds.parts import make_parts

ADMIN = Caller(new_id(), new_id(), frozenset({Role.ADMIN}), "192.0.2.9")
# Each with a reason of its own: one for the reason that stands already is a repeat.
VERBS: Final = ("Approve", "Reject", "Suspend", "Reinstate", "Close")
WAYS: Final = {
    "PENDING": (),
    "ACTIVE": ("Approve",),
    "REJECTED": ("Reject",),
    "SUSPENDED": ("Approve", "Suspend"),
    "CLOSED": ("Approve", "Close"),
}
LEADS: Final = {
    ("PENDING", "Approve"): "ACTIVE",
    ("PENDING", "Reject"): "REJECTED",
    ("PENDING", "Close"): "CLOSED",
    ("ACTIVE", "Suspend"): "SUSPENDED",
    ("ACTIVE", "Close"): "CLOSED",
    ("SUSPENDED", "Reinstate"): "ACTIVE",
    ("SUSPENDED", "Close"): "CLOSED",
    ("CLOSED", "Reinstate"): "ACTIVE",
}


async def _application(tx: Transactor, servicer: SellerServicer) -> str:
    """The id of a shop that somebody has just applied for."""
    new = NewAccount(f"{new_id()}@shop.example", "", "", "Jo Doe", "no hash")
    owner = await tx.run("test.account", lambda uow: create_account(uow, new, frozenset({Role.BUYER})))
    calls.enter(Call(caller=Caller(owner.user_id, new_id(), owner.roles, "192.0.2.7")))
    shop = seller_pb2.Seller(
        shop_name="Cheese",
        pickup_address=Address(lines=["Markt 1"], city="Berlin", point=LatLng(latitude=52.5, longitude=13.4)),
        time_zone="UTC",
    )
    request = seller_service_pb2.CreateSellerRequest(request_id=str(new_id()), seller=shop)
    return (await servicer.CreateSeller(request, cast("Any", None))).seller.seller_id


async def _move(servicer: SellerServicer, verb: str, seller_id: str, reason: str) -> str:
    calls.enter(Call(method=f"/marketplace.seller.v1.SellerService/{verb}Seller", caller=ADMIN))
    kind: Any = getattr(seller_service_pb2, f"{verb}SellerRequest")
    answer: Any = await getattr(servicer, f"{verb}Seller")(kind(seller_id=seller_id, reason=reason), cast("Any", None))
    return seller_pb2.SellerState.Name(answer.seller.state).removeprefix("SELLER_STATE_")


@pytest.mark.parametrize("state", WAYS)
async def test_a_shop_moves_as_its_state_allows_and_no_other_way(tx: Transactor, state: str) -> None:
    servicer = Built(make_parts(tx), "seller").servicer(SellerServicer)
    for verb in VERBS:
        seller_id = await _application(tx, servicer)
        for step in WAYS[state]:
            await _move(servicer, step, seller_id, f"{step} first")
        expected = LEADS.get((state, verb))
        if expected is None:
            with pytest.raises(IllegalTransition) as refused:
                await _move(servicer, verb, seller_id, "then")
            assert refused.value.metadata["current"] == state, verb
        else:
            assert await _move(servicer, verb, seller_id, "then") == expected, verb
