"""Showing the receipt of an order to those who may have it."""

from __future__ import annotations

from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit
from marketd.order import repository
from marketd.order.access import viewer_of
from marketd.order.errors import NotPaid
from marketd.order.receipts.values import Receipt, receipt_of


async def get_receipt(unit: ReadUnit, caller: Caller, order_id: UUID) -> Receipt:
    """The receipt of an order that the caller bought or sells, any for admins. Raises NotFound and NotPaid."""
    order = await repository.read(unit.connection, order_id)
    if order is None:
        raise NotFound("order", order_id)
    viewer = viewer_of(caller, order)
    if not (viewer.is_buyer or viewer.is_seller or viewer.is_admin):
        raise NotFound("order", order_id)
    if not order.is_paid:
        raise NotPaid(order.state.value, is_waiting=not order.state.is_over)
    return receipt_of(viewer.with_known_codes(order))
