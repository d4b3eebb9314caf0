"""CourierService and DeliveryService: from messages to use cases and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from marketplace.delivery.v1 import (
    courier_service_pb2,
    courier_service_pb2_grpc,
    delivery_service_pb2,
    delivery_service_pb2_grpc,
)

from marketd.delivery import assign, convert, couriers, hand_over
from marketd.delivery.estimate import Pace
from marketd.delivery.hand_over import CompleteDelivery, Refused, Verdict
from marketd.delivery.values import CourierView, DeliveryView, ShiftView
from marketd.delivery.watch import DeliveryWatcher
from marketd.kernel.call import call as calls
from marketd.kernel.call.pages import PageTokens, clamp_page_size
from marketd.kernel.call.refusals import PageTokenInvalid
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.ids import parse_id

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class CourierServicer(courier_service_pb2_grpc.CourierServiceServicer):
    """marketplace.delivery.v1.CourierService."""

    def __init__(self, *, tx: Transactor) -> None:
        self._tx = tx

    async def CreateCourier(
        self, request: courier_service_pb2.CreateCourierRequest, context: Context
    ) -> courier_service_pb2.CreateCourierResponse:
        """Applies as a courier."""
        caller = calls.current_caller()
        command = convert.from_create_courier(request)

        def render(courier: CourierView) -> courier_service_pb2.CreateCourierResponse:
            return courier_service_pb2.CreateCourierResponse(courier=convert.to_courier(courier))

        return await self._tx.answer_bare(
            "courier.create", lambda uow: couriers.create_courier(uow, caller, command), render
        )

    async def ApproveCourier(
        self, request: courier_service_pb2.ApproveCourierRequest, context: Context
    ) -> courier_service_pb2.ApproveCourierResponse:
        """Approves a pending courier."""
        caller = calls.current_caller()
        courier_id = parse_id(request.courier_id)
        courier = await self._tx.run_bare(
            "courier.approve", lambda uow: couriers.approve_courier(uow, caller, courier_id, request.reason)
        )
        return courier_service_pb2.ApproveCourierResponse(courier=convert.to_courier(courier))

    async def StartShift(
        self, request: courier_service_pb2.StartShiftRequest, context: Context
    ) -> courier_service_pb2.StartShiftResponse:
        """Starts the caller's shift."""
        caller = calls.current_caller()
        vehicle = convert.from_vehicle(request.vehicle)

        def render(shift: ShiftView) -> courier_service_pb2.StartShiftResponse:
            return courier_service_pb2.StartShiftResponse(shift=convert.to_shift(shift))

        return await self._tx.answer_bare(
            "courier.start_shift", lambda uow: couriers.start_shift(uow, caller, vehicle), render
        )

    async def EndShift(
        self, request: courier_service_pb2.EndShiftRequest, context: Context
    ) -> courier_service_pb2.EndShiftResponse:
        """Ends the caller's shift."""
        caller = calls.current_caller()

        def render(shift: ShiftView) -> courier_service_pb2.EndShiftResponse:
            return courier_service_pb2.EndShiftResponse(shift=convert.to_shift(shift))

        return await self._tx.answer_bare("courier.end_shift", lambda uow: couriers.end_shift(uow, caller), render)


class DeliveryServicer(delivery_service_pb2_grpc.DeliveryServiceServicer):
    """marketplace.delivery.v1.DeliveryService."""

    def __init__(self, *, tx: Transactor, pages: PageTokens, watcher: DeliveryWatcher, pace: Pace) -> None:
        self._tx = tx
        self._pages = pages
        self._watcher = watcher
        self._pace = pace

    async def AssignCourier(
        self, request: delivery_service_pb2.AssignCourierRequest, context: Context
    ) -> delivery_service_pb2.AssignCourierResponse:
        """Gives a delivery to a courier."""
        caller = calls.current_caller()
        delivery_id, courier_id = parse_id(request.delivery_id), parse_id(request.courier_id)
        delivery = await self._tx.run_bare(
            "delivery.assign",
            lambda uow: assign.assign_courier(uow, caller, delivery_id, courier_id, self._pace),
        )
        return delivery_service_pb2.AssignCourierResponse(delivery=convert.to_delivery(delivery, caller.account_id))

    async def GetDelivery(
        self, request: delivery_service_pb2.GetDeliveryRequest, context: Context
    ) -> delivery_service_pb2.GetDeliveryResponse:
        """Gets a delivery."""
        caller = calls.current_caller()
        delivery_id = parse_id(request.delivery_id)
        delivery = await self._tx.read(lambda unit: assign.get_delivery(unit, caller, delivery_id))
        return delivery_service_pb2.GetDeliveryResponse(delivery=convert.to_delivery(delivery, caller.account_id))

    async def ListDeliveries(
        self, request: delivery_service_pb2.ListDeliveriesRequest, context: Context
    ) -> delivery_service_pb2.ListDeliveriesResponse:
        """Lists deliveries, newest first."""
        caller = calls.current_caller()
        wanted = convert.from_list_deliveries(request)
        size = clamp_page_size(request.page_size)
        query = f"delivery.list|{wanted.text()}"
        cursor = self._pages.read(request.page_token, query, caller.key)
        if cursor is not None and not isinstance(cursor[0], str):
            raise PageTokenInvalid
        before = parse_id(str(cursor[0])) if cursor is not None else None
        rows = await self._tx.read(lambda unit: assign.list_deliveries(unit, caller, wanted, before, size + 1))
        last = (str(rows[size - 1].delivery_id),) if len(rows) > size else None
        page = self._pages.page(rows, size, query, caller.key, last)
        return delivery_service_pb2.ListDeliveriesResponse(
            deliveries=[convert.to_delivery(delivery, caller.account_id) for delivery in page.items],
            next_page_token=page.next_page_token,
        )

    async def WatchDeliveries(
        self, request: delivery_service_pb2.WatchDeliveriesRequest, context: Context
    ) -> AsyncIterator[delivery_service_pb2.WatchDeliveriesResponse]:
        """Streams what happens to the caller's deliveries."""
        caller = calls.current_caller()
        async with aclosing(self._watcher.watch(caller, request.resume_token)) as messages:
            async for message in messages:
                yield convert.to_watch_response(message, caller.account_id)

    async def PickUpDelivery(
        self, request: delivery_service_pb2.PickUpDeliveryRequest, context: Context
    ) -> delivery_service_pb2.PickUpDeliveryResponse:
        """Lets the courier say that the goods were handed over."""
        caller = calls.current_caller()
        delivery_id = parse_id(request.delivery_id)
        occurred = convert.occurred(request.occurred_time if request.HasField("occurred_time") else None)

        def render(delivery: DeliveryView) -> delivery_service_pb2.PickUpDeliveryResponse:
            return delivery_service_pb2.PickUpDeliveryResponse(
                delivery=convert.to_delivery(delivery, caller.account_id)
            )

        return await self._tx.answer_bare(
            "delivery.pick_up",
            lambda uow: hand_over.pick_up(uow, caller, delivery_id, occurred, self._pace),
            render,
        )

    async def CompleteDelivery(
        self, request: delivery_service_pb2.CompleteDeliveryRequest, context: Context
    ) -> delivery_service_pb2.CompleteDeliveryResponse:
        """Lets the courier close the delivery with the buyer's code.

        The code is judged in a unit of work of its own, which commits the count of a wrong one (see handing_over).
        """
        caller = calls.current_caller()
        delivery_id = parse_id(request.delivery_id)
        occurred = convert.occurred(request.occurred_time if request.HasField("occurred_time") else None)
        verdict: Verdict | None = None
        if request.code.strip():
            judged = await self._tx.run_bare(
                "delivery.judge_code", lambda uow: hand_over.judge_code(uow, caller, delivery_id, request.code)
            )
            if isinstance(judged, Refused):
                raise judged.refusal()
            verdict = judged
        command = CompleteDelivery(
            delivery_id=delivery_id,
            verdict=verdict,
            media_ids=tuple(parse_id(media_id) for media_id in request.media_ids),
            occurred_time=occurred,
        )

        def render(delivery: DeliveryView) -> delivery_service_pb2.CompleteDeliveryResponse:
            return delivery_service_pb2.CompleteDeliveryResponse(
                delivery=convert.to_delivery(delivery, caller.account_id)
            )

        return await self._tx.answer_bare(
            "delivery.complete", lambda uow: hand_over.complete(uow, caller, command), render
        )
