"""Orders as payments know them: payment.ports.OrderPayments, in payment's own unit of work.

The caller's calls come in the order of the locks: `lock_group` first, then its own rows, then the orders here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Self
from uuid import UUID

from marketd.config import Settings
from marketd.inventory import service as inventory
from marketd.inventory.values import StockLine
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Json
from marketd.kernel.values.money import Money
from marketd.order import repository
from marketd.order.codes import give_back_codes
from marketd.order.end import stock_lines, write_end
from marketd.order.events import OrderPaid, OrderRefunded
from marketd.order.expire import accept_expire_time, enqueue_give_up
from marketd.order.model import BEFORE_PICKUP, CancellationReason, OrderState
from marketd.order.transition import save_quietly, transition
from marketd.order.values import Order
from marketd.payment import service as payments
from marketd.payment.errors import NothingToRefund, RefundTooLarge
from marketd.payment.ports import GroupStanding, RefundShare


class PaidOrders:
    """Implements payment.ports.OrderPayments. `accept_lifetime` is how long sellers may take to accept."""

    def __init__(self, *, accept_lifetime: timedelta) -> None:
        self._accept_lifetime = accept_lifetime

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say."""
        return cls(accept_lifetime=settings.order_accept_lifetime)

    async def lock_group(self, uow: UnitOfWork, order_group_id: UUID) -> GroupStanding | None:
        """Lock the group's row."""
        group = await repository.lock_group(uow.connection, order_group_id)
        if group is None:
            return None
        waiting = await repository.read_waiting(uow.connection, order_group_id)
        return GroupStanding(
            order_group_id, group.buyer_id, waiting.count > 0, Money(waiting.due_minor, group.currency)
        )

    async def payment_made(self, uow: UnitOfWork, order_group_id: UUID, payment_id: UUID) -> None:
        """The locked group has a new latest payment."""
        await repository.set_payment(uow.connection, order_group_id, payment_id)

    async def payment_captured(self, uow: UnitOfWork, order_group_id: UUID, payment_id: UUID) -> None:
        """The waiting orders of the locked group become PAID."""
        for order in await repository.lock_orders(uow.connection, order_group_id):
            if order.state is OrderState.PENDING_PAYMENT:
                await mark_paid(uow, order, payment_id, self._accept_lifetime)

    async def reserve_refund(
        self, uow: UnitOfWork, caller: Caller, order_group_id: UUID, order_id: UUID | None, amount: Money | None
    ) -> Sequence[RefundShare]:
        """Set aside what is to be given back: the amount of one order, or all that is left of those meant.

        An order of which nothing is left by that is CANCELLED at once, while it is with its seller. Raises NotFound,
        NothingToRefund and RefundTooLarge.
        """
        group = await repository.lock_orders(uow.connection, order_group_id)
        orders = [
            order for order in group if (order_id is None or order.order_id == order_id) and _may_refund(caller, order)
        ]
        if not orders:
            raise NotFound("order", order_id or order_group_id)
        left = sum(order.refundable_minor for order in orders)
        if not left:
            raise NothingToRefund(orders[0].state.value)
        wanted = left if amount is None else amount.amount_minor
        if wanted > left:
            raise RefundTooLarge(str(orders[0].money(left)))
        shares: list[RefundShare] = []
        released: list[StockLine] = []
        ended: list[Order] = []
        for order in orders:
            part = min(wanted, order.refundable_minor)
            if not part:
                continue
            if part == order.refundable_minor and order.state in BEFORE_PICKUP:
                released += stock_lines(order)
                ended.append(await write_end(uow, order, reason=CancellationReason.REFUNDED))
            else:
                await save_quietly(uow, order, refund_reserved_minor=order.refund_reserved_minor + part)
            shares.append(RefundShare(order.order_id, part))
            wanted -= part
        await give_back_codes(uow, group, ended)
        # Those of all orders at once: the stock's rows are locked in one order.
        await inventory.release(uow, released, order_group_id)
        return shares

    async def refund_settled(
        self, uow: UnitOfWork, order_group_id: UUID, shares: Sequence[RefundShare], *, succeeded: bool
    ) -> None:
        """The provider gave the shares back, or never will; a delivered order without money is REFUNDED."""
        group = await repository.lock_orders(uow.connection, order_group_id)
        orders = {order.order_id: order for order in group}
        ended: list[Order] = []
        for share in shares:
            order, amount = orders[share.order_id], share.amount_minor
            if not succeeded:
                await save_quietly(uow, order, refund_reserved_minor=order.refund_reserved_minor - amount)
                continue
            refunded = order.refunded_amount_minor + amount
            told = {"amount_minor": amount}
            is_all = order.state is OrderState.DELIVERED and refunded == order.due_minor
            state = OrderState.REFUNDED if is_all else None
            after = await transition(uow, order, OrderRefunded, told, state=state, refunded_amount_minor=refunded)
            if is_all:
                ended.append(after)
        await give_back_codes(uow, group, ended)

    async def pay_free(self, uow: UnitOfWork, payload: Mapping[str, Json]) -> None:
        """Have the waiting orders of a group paid of which nothing is to be paid any more; the job."""
        group_id = UUID(str(payload["order_group_id"]))
        standing = await self.lock_group(uow, group_id)
        if standing is None or not standing.is_payable or standing.due.amount_minor:
            return
        payment = await payments.capture_nothing(uow, group_id)
        if payment is not None:
            await self.payment_captured(uow, group_id, payment.payment_id)


async def mark_paid(uow: UnitOfWork, order: Order, payment_id: UUID, accept_lifetime: timedelta) -> Order:
    """A locked order that waits for money becomes PAID, and has until then to be accepted."""
    until = accept_expire_time(order, uow.now, accept_lifetime)
    told = {"payment_id": payment_id}
    after = await transition(uow, order, OrderPaid, told, state=OrderState.PAID, accept_expire_time=until)
    enqueue_give_up(uow, order, until)
    return after


def _may_refund(caller: Caller, order: Order) -> bool:
    return caller.has(Role.ADMIN) or caller.user_id == order.owner_user_id
