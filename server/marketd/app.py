"""The composition root: which slices there are, in the order of their floors, and the ports between them.

A port is what a lower slice asks of an upper one, within the caller's unit of work; here it is passed to `build`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from marketd.admin import wiring as admin
from marketd.audit import wiring as audit
from marketd.auth import wiring as auth
from marketd.auth.letters import revealer
from marketd.cart import wiring as cart
from marketd.cart.basket import callers_cart
from marketd.cart.merge import merge_guest_cart
from marketd.cart.service import owner_deleted as cart_owner_deleted
from marketd.catalog import wiring as catalog
from marketd.catalog.servicer import CACHE_TAG
from marketd.config import Settings
from marketd.delivery import wiring as delivery
from marketd.delivery.follow_accounts import courier_deleted, courier_lost_access
from marketd.delivery.follow_accounts import holds_account as courier_holds_account
from marketd.delivery.proofs import may_read as may_read_proof
from marketd.delivery.quote import flat_fee_quoter
from marketd.delivery.service import set_rating as courier_set_rating
from marketd.inventory import wiring as inventory
from marketd.kernel import invariants as kernel
from marketd.kernel.slice import Room
from marketd.mail import wiring as mail
from marketd.media import wiring as media
from marketd.media.delete import owner_deleted as media_owner_deleted
from marketd.order import wiring as order
from marketd.order.pay import PaidOrders
from marketd.order.service import has_ordered
from marketd.order.service import holds_account as order_holds_account
from marketd.order.service import holds_seller as order_holds_seller
from marketd.order.service import shows_media as order_shows_media
from marketd.payment import wiring as payment
from marketd.payment.providers.choose import providers_of
from marketd.process.assemble import assemble
from marketd.process.process import App
from marketd.promotion import wiring as promotion
from marketd.review import wiring as review
from marketd.review.follow_accounts import author_deleted
from marketd.seller import wiring as seller
from marketd.seller.follow_owner import owner_deleted, owner_lost_access
from marketd.seller.service import holds_account as seller_holds_account
from marketd.tracking import wiring as tracking
from marketd.transport import descriptors
from marketd.transport.access import AccessTable
from marketd.transport.audit_trail import audited_words
from marketd.transport.collector import service_of
from marketd.transport.own_rules import own_rules
from marketd.transport.server_info import ServerInfoServicer

SLICES: Final = (
    Room(audit, audit.build),
    Room(mail, partial(mail.build, revealer=revealer)),
    Room(
        auth,
        partial(
            auth.build,
            merge_guest_cart=merge_guest_cart,
            holders=(order_holds_account, seller_holds_account, courier_holds_account),
            access_ended=(owner_lost_access, courier_lost_access),
            account_ended=(owner_deleted, courier_deleted, cart_owner_deleted, author_deleted, media_owner_deleted),
        ),
    ),
    Room(media, partial(media.build, readers=(may_read_proof,), late_holders=(order_shows_media,))),
    Room(seller, partial(seller.build, holders=(order_holds_seller,))),
    Room(inventory, partial(inventory.build, shown_under=CACHE_TAG)),
    Room(catalog, catalog.build),
    Room(promotion, partial(promotion.build, callers_cart=callers_cart, history=has_ordered)),
    Room(cart, partial(cart.build, quoter=flat_fee_quoter, history=has_ordered)),
    Room(payment, partial(payment.build, orders=PaidOrders.of, providers=providers_of)),
    Room(order, partial(order.build, providers=providers_of)),
    Room(review, partial(review.build, couriers=courier_set_rating, shown_under=CACHE_TAG)),
    Room(delivery, delivery.build),
    Room(tracking, tracking.build),
    Room(admin, partial(admin.build, audited=lambda: audited_words(access_table()))),
)

SERVICERS: Final = (*(servicer for room in SLICES for servicer in room.wiring.SERVICERS), ServerInfoServicer)
SERVICES: Final = tuple(service_of(servicer) for servicer in SERVICERS)
"""The full names of what is served, health and reflection aside."""
INVARIANTS: Final = (
    *kernel.INVARIANTS,
    *(invariant for room in SLICES for invariant in room.wiring.INVARIANTS),
)
"""What must hold of the data of all slices."""


async def build(
    settings: Settings,
    *,
    serve: bool = True,
    reuse_port: bool = False,
    admin_port: int = 0,
    gateway_socket: Path | None = None,
) -> App:
    """A process of this version, not started. Raises StartRefused; see process.assemble."""
    return await assemble(
        settings,
        SLICES,
        serve=serve,
        reuse_port=reuse_port,
        admin_port=admin_port,
        gateway_socket=gateway_socket,
    )


def descriptor_set() -> FileDescriptorSet:
    """The contract of SERVICES as one file set."""
    return descriptors.descriptor_set(SERVICES)


def access_table() -> AccessTable:
    """The rules of everything that a server of this version serves; needs neither settings nor database."""
    rules = (*AccessTable.from_names(SERVICES), *own_rules().values())
    return AccessTable({rule.method: rule for rule in rules})
