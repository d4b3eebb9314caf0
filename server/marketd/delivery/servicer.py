"""CourierService and DeliveryService: from messages to use cases and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from uuid import UUID

from marketplace.delivery.v1 import (
    courier_service_pb2,
    courier_service_pb2_grpc,
    delivery_service_pb2,
    delivery_service_pb2_grpc,
)

from marketd.delivery import assign, convert, couriers, end, hand_over, life, read
from marketd.delivery.estimate import Pace
from marketd.delivery.hand_over import CodeRefused, CodeVerdict, CompleteDelivery
from marketd.delivery.values import Courier, Delivery, DeliveryCursor, Shift
from marketd.delivery.watch import watch_deliveries
from marketd.kernel.call import call as calls
from marketd.kernel.call.pages import Pager
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import BEAT_SECONDS, ResumeTokens

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class CourierServicer(courier_service_pb2_grpc.CourierServiceServicer):
    """marketplace.delivery.v1.CourierService."""

    def __init__(self, *, tx: Transactor, pager: Pager) -> None:
        self._tx = tx
        self._pager = pager

    async def CreateCourier(
        self, request: courier_service_pb2.CreateCourierRequest, context: Context
    ) -> courier_service_pb2.CreateCourierResponse:
        caller = calls.current_caller()
        command = convert.from_create_courier(request.courier)

        def render(courier: Courier) -> courier_service_pb2.CreateCourierResponse:
            return courier_service_pb2.CreateCourierResponse(courier=convert.to_courier(courier))

        return await self._tx.answer(
            "courier.create", lambda uow: couriers.create_courier(uow, caller, command), render
        )

    async def GetCourier(
        self, request: courier_service_pb2.GetCourierRequest, context: Context
    ) -> courier_service_pb2.GetCourierResponse:
        caller = calls.current_caller()
        courier_id = convert.from_courier_id(request.courier_id)
        courier = await self._tx.read(lambda unit: couriers.get_courier(unit, caller, courier_id))
        return courier_service_pb2.GetCourierResponse(courier=convert.to_courier(courier))

    async def ListCouriers(
        self, request: courier_service_pb2.ListCouriersRequest, context: Context
    ) -> courier_service_pb2.ListCouriersResponse:
        caller, wanted = calls.current_caller(), convert.from_list_couriers(request)
        page = await self._pager.list(
            request,
            caller,
            lambda unit, after, limit: couriers.list_couriers(unit, wanted, after, limit),
            lambda courier: courier.courier_id,
            convert.to_courier,
        )
        return courier_service_pb2.ListCouriersResponse(couriers=page.items, next_page_token=page.next_page_token)

    async def ApproveCourier(
        self, request: courier_service_pb2.ApproveCourierRequest, context: Context
    ) -> courier_service_pb2.ApproveCourierResponse:
        caller, move = calls.current_caller(), convert.from_move(request)

        def render(courier: Courier) -> courier_service_pb2.ApproveCourierResponse:
            return courier_service_pb2.ApproveCourierResponse(courier=convert.to_courier(courier))

        return await self._tx.answer("courier.approve", lambda uow: life.approve_courier(uow, caller, move), render)

    async def RejectCourier(
        self, request: courier_service_pb2.RejectCourierRequest, context: Context
    ) -> courier_service_pb2.RejectCourierResponse:
        caller, move = calls.current_caller(), convert.from_move(request)

        def render(courier: Courier) -> courier_service_pb2.RejectCourierResponse:
            return courier_service_pb2.RejectCourierResponse(courier=convert.to_courier(courier))

        return await self._tx.answer("courier.reject", lambda uow: life.reject_courier(uow, caller, move), render)

    async def SuspendCourier(
        self, request: courier_service_pb2.SuspendCourierRequest, context: Context
    ) -> courier_service_pb2.SuspendCourierResponse:
        caller, move = calls.current_caller(), convert.from_move(request)

        def render(courier: Courier) -> courier_service_pb2.SuspendCourierResponse:
            return courier_service_pb2.SuspendCourierResponse(courier=convert.to_courier(courier))

        return await self._tx.answer("courier.suspend", lambda uow: life.suspend_courier(uow, caller, move), render)

    async def ReinstateCourier(
        self, request: courier_service_pb2.ReinstateCourierRequest, context: Context
    ) -> courier_service_pb2.ReinstateCourierResponse:
        caller, move = calls.current_caller(), convert.from_move(request)

        def render(courier: Courier) -> courier_service_pb2.ReinstateCourierResponse:
            return courier_service_pb2.ReinstateCourierResponse(courier=convert.to_courier(courier))

        return await self._tx.answer("courier.reinstate", lambda uow: life.reinstate_courier(uow, caller, move), render)

    async def CloseCourier(
        self, request: courier_service_pb2.CloseCourierRequest, context: Context
    ) -> courier_service_pb2.CloseCourierResponse:
        caller, move = calls.current_caller(), convert.from_move(request)

        def render(courier: Courier) -> courier_service_pb2.CloseCourierResponse:
            return courier_service_pb2.CloseCourierResponse(courier=convert.to_courier(courier))

        return await self._tx.answer("courier.close", lambda uow: life.close_courier(uow, caller, move), render)

    async def StartShift(
        self, request: courier_service_pb2.StartShiftRequest, context: Context
    ) -> courier_service_pb2.StartShiftResponse:
        caller = calls.current_caller()
        vehicle = convert.VEHICLES.optional_from_wire(request.vehicle)

        def render(shift: Shift) -> courier_service_pb2.StartShiftResponse:
            return courier_service_pb2.StartShiftResponse(shift=convert.to_shift(shift))

        return await self._tx.answer(
            "courier.start_shift", lambda uow: couriers.start_shift(uow, caller, vehicle), render
        )

    async def EndShift(
        self, request: courier_service_pb2.EndShiftRequest, context: Context
    ) -> courier_service_pb2.EndShiftResponse:
        caller = calls.current_caller()

        def render(shift: Shift) -> courier_service_pb2.EndShiftResponse:
            return courier_service_pb2.EndShiftResponse(shift=convert.to_shift(shift))

        return await self._tx.answer(
            "courier.end_shift", lambda uow: couriers.end_shift(uow, caller, request.etag), render
        )


class DeliveryServicer(delivery_service_pb2_grpc.DeliveryServiceServicer):
    """marketplace.delivery.v1.DeliveryService."""

    def __init__(
        self,
        *,
        tx: Transactor,
        pager: Pager,
        feed: Feed,
        resume: ResumeTokens,
        pace: Pace,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._tx = tx
        self._pager = pager
        self._feed = feed
        self._resume = resume
        self._beat_seconds = beat_seconds
        self._pace = pace

    async def AssignCourier(
        self, request: delivery_service_pb2.AssignCourierRequest, context: Context
    ) -> delivery_service_pb2.AssignCourierResponse:
        caller = calls.current_caller()
        delivery_id, courier_id = UUID(request.delivery_id), UUID(request.courier_id)

        def render(delivery: Delivery) -> delivery_service_pb2.AssignCourierResponse:
            return delivery_service_pb2.AssignCourierResponse(delivery=convert.to_delivery(delivery, caller))

        return await self._tx.answer(
            "delivery.assign",
            lambda uow: assign.assign_courier(uow, caller, delivery_id, courier_id, request.etag, self._pace),
            render,
        )

    async def ReassignDelivery(
        self, request: delivery_service_pb2.ReassignDeliveryRequest, context: Context
    ) -> delivery_service_pb2.ReassignDeliveryResponse:
        caller, command = calls.current_caller(), convert.from_reassign(request)

        def render(delivery: Delivery) -> delivery_service_pb2.ReassignDeliveryResponse:
            return delivery_service_pb2.ReassignDeliveryResponse(delivery=convert.to_delivery(delivery, caller))

        return await self._tx.answer(
            "delivery.reassign", lambda uow: assign.reassign_delivery(uow, caller, command, self._pace), render
        )

    async def GetDelivery(
        self, request: delivery_service_pb2.GetDeliveryRequest, context: Context
    ) -> delivery_service_pb2.GetDeliveryResponse:
        caller = calls.current_caller()
        delivery_id = UUID(request.delivery_id)
        delivery = await self._tx.read(lambda unit: read.get_delivery(unit, caller, delivery_id))
        return delivery_service_pb2.GetDeliveryResponse(delivery=convert.to_delivery(delivery, caller))

    async def ListDeliveries(
        self, request: delivery_service_pb2.ListDeliveriesRequest, context: Context
    ) -> delivery_service_pb2.ListDeliveriesResponse:
        caller = calls.current_caller()
        wanted, order = convert.from_list_deliveries(request), convert.from_order_by(request.order_by)

        async def fetch(unit: ReadUnit, after: DeliveryCursor | None, limit: int) -> list[Delivery]:
            return await read.list_deliveries(unit, caller, wanted, order, after, limit)

        page = await self._pager.list(
            request,
            caller,
            fetch,
            lambda delivery: (delivery.close_time, delivery.delivery_id),
            lambda delivery: convert.to_delivery(delivery, caller),
        )
        return delivery_service_pb2.ListDeliveriesResponse(deliveries=page.items, next_page_token=page.next_page_token)

    async def WatchDeliveries(
        self, request: delivery_service_pb2.WatchDeliveriesRequest, context: Context
    ) -> AsyncIterator[delivery_service_pb2.WatchDeliveriesResponse]:
        caller = calls.current_caller()
        courier_id = (await self._tx.read(lambda unit: couriers.get_courier(unit, caller, None))).courier_id
        # Not to the account: numbers of a former courier's sequence mean something else in a later one's.
        bound_to = courier_id.bytes
        after = self._resume.after(request.resume_token, bound_to)
        stream = watch_deliveries(self._tx, self._feed, courier_id, after, beat_seconds=self._beat_seconds)
        async with aclosing(stream) as each:
            async for seq, news in each:
                yield convert.to_watch_response(news, caller, self._resume.token(bound_to, seq))

    async def PickUpDelivery(
        self, request: delivery_service_pb2.PickUpDeliveryRequest, context: Context
    ) -> delivery_service_pb2.PickUpDeliveryResponse:
        caller = calls.current_caller()
        delivery_id = UUID(request.delivery_id)
        occurred = convert.from_occurred_time(request.occurred_time if request.HasField("occurred_time") else None)

        def render(delivery: Delivery) -> delivery_service_pb2.PickUpDeliveryResponse:
            return delivery_service_pb2.PickUpDeliveryResponse(delivery=convert.to_delivery(delivery, caller))

        return await self._tx.answer(
            "delivery.pick_up",
            lambda uow: hand_over.pick_up(uow, caller, delivery_id, occurred, request.etag, self._pace),
            render,
        )

    async def CompleteDelivery(
        self, request: delivery_service_pb2.CompleteDeliveryRequest, context: Context
    ) -> delivery_service_pb2.CompleteDeliveryResponse:
        caller = calls.current_caller()
        delivery_id = UUID(request.delivery_id)
        occurred = convert.from_occurred_time(request.occurred_time if request.HasField("occurred_time") else None)
        verdict: CodeVerdict | None = None
        # A unit of work of its own, which commits the count of a wrong code.
        if request.code.strip():
            judged = await self._tx.run(
                "delivery.judge_code", lambda uow: hand_over.judge_code(uow, caller, delivery_id, request.code)
            )
            if isinstance(judged, CodeRefused):
                raise judged.refusal()
            verdict = judged
        command = CompleteDelivery(
            delivery_id=delivery_id,
            code=request.code,
            verdict=verdict,
            media_ids=tuple(UUID(media_id) for media_id in request.media_ids),
            occurred_time=occurred,
            etag=request.etag,
        )

        def render(delivery: Delivery) -> delivery_service_pb2.CompleteDeliveryResponse:
            return delivery_service_pb2.CompleteDeliveryResponse(delivery=convert.to_delivery(delivery, caller))

        return await self._tx.answer("delivery.complete", lambda uow: hand_over.complete(uow, caller, command), render)

    async def CancelDelivery(
        self, request: delivery_service_pb2.CancelDeliveryRequest, context: Context
    ) -> delivery_service_pb2.CancelDeliveryResponse:
        caller, command = calls.current_caller(), convert.from_end(request)

        def render(delivery: Delivery) -> delivery_service_pb2.CancelDeliveryResponse:
            return delivery_service_pb2.CancelDeliveryResponse(delivery=convert.to_delivery(delivery, caller))

        return await self._tx.answer("delivery.cancel", lambda uow: end.cancel_delivery(uow, caller, command), render)

    async def FailDelivery(
        self, request: delivery_service_pb2.FailDeliveryRequest, context: Context
    ) -> delivery_service_pb2.FailDeliveryResponse:
        caller, command = calls.current_caller(), convert.from_end(request)

        def render(delivery: Delivery) -> delivery_service_pb2.FailDeliveryResponse:
            return delivery_service_pb2.FailDeliveryResponse(delivery=convert.to_delivery(delivery, caller))

        return await self._tx.answer("delivery.fail", lambda uow: end.fail_delivery(uow, caller, command), render)

    async def ReturnToSeller(
        self, request: delivery_service_pb2.ReturnToSellerRequest, context: Context
    ) -> delivery_service_pb2.ReturnToSellerResponse:
        caller, command = calls.current_caller(), convert.from_end(request)

        def render(delivery: Delivery) -> delivery_service_pb2.ReturnToSellerResponse:
            return delivery_service_pb2.ReturnToSellerResponse(delivery=convert.to_delivery(delivery, caller))

        return await self._tx.answer("delivery.return", lambda uow: end.return_to_seller(uow, caller, command), render)
