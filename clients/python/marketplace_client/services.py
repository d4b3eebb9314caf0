"""The services of the marketplace, each named once. A new service is one line in `Services`.

The client's stubs, their types and `methods.METHODS` are made from that list; a test compares it with what the server
serves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Self, TypeVar, overload

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from marketplace.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from marketplace.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from marketplace.auth.v1.user_service_pb2_grpc import UserServiceStub
from marketplace.cart.v1.cart_service_pb2_grpc import CartServiceStub
from marketplace.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from marketplace.delivery.v1.courier_service_pb2_grpc import CourierServiceStub
from marketplace.delivery.v1.delivery_service_pb2_grpc import DeliveryServiceStub
from marketplace.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from marketplace.media.v1.media_service_pb2_grpc import MediaServiceStub
from marketplace.order.v1.order_service_pb2_grpc import OrderServiceStub
from marketplace.payment.v1.payment_service_pb2_grpc import PaymentServiceStub
from marketplace.promotion.v1.promotion_service_pb2_grpc import PromotionServiceStub
from marketplace.review.v1.review_service_pb2_grpc import ReviewServiceStub
from marketplace.seller.v1.seller_service_pb2_grpc import SellerServiceStub
from marketplace.server.v1.server_service_pb2_grpc import ServerServiceStub
from marketplace.tracking.v1.tracking_service_pb2_grpc import TrackingServiceStub

_S = TypeVar("_S")


class Service(Generic[_S]):
    """One service, as an attribute of `Services`: on an open client it is the stub, on the class it is this."""

    name: str
    """The attribute's name."""

    def __init__(self, stub: Callable[[grpc.aio.Channel], _S]) -> None:
        self.stub = stub
        # `buf lint` holds that a proto file's folder is its package, and the generator adds Stub to the service's name.
        full_name = f"{stub.__module__.rpartition('.')[0]}.{stub.__name__.removesuffix('Stub')}"
        self.descriptor: ServiceDescriptor = descriptor_pool.Default().FindServiceByName(full_name)

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type[object]) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[object]) -> _S: ...

    def __get__(self, instance: object | None, owner: type[object]) -> Self | _S:
        """The service itself on the class. Raises RuntimeError on a client that was never opened."""
        if instance is None:
            return self
        # Once open, an instance has the stub under the same name, and Python looks there first.
        raise RuntimeError("the client is not open; use it with `async with`")


class Services:
    """Every service of the marketplace by its name."""

    auth = Service(AuthServiceStub)
    user = Service(UserServiceStub)
    media = Service(MediaServiceStub)
    seller = Service(SellerServiceStub)
    inventory = Service(InventoryServiceStub)
    catalog = Service(CatalogServiceStub)
    promotion = Service(PromotionServiceStub)
    cart = Service(CartServiceStub)
    payment = Service(PaymentServiceStub)
    order = Service(OrderServiceStub)
    review = Service(ReviewServiceStub)
    courier = Service(CourierServiceStub)
    delivery = Service(DeliveryServiceStub)
    tracking = Service(TrackingServiceStub)
    admin = Service(AdminServiceStub)
    server = Service(ServerServiceStub)

    def _make_stubs(self, channel: grpc.aio.Channel) -> None:
        """Make the stubs of all services on this channel, in place of any that were made before."""
        vars(self).update({service.name: service.stub(channel) for service in SERVICES})


SERVICES = tuple(member for member in vars(Services).values() if isinstance(member, Service))
"""The services in the order of their lines."""
