"""Every SQL statement of the server is prepared against the migrated schema, so a renamed column fails here by name."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from types import SimpleNamespace
from typing import Any, Final, TypeVar, cast

import asyncpg
import pytest
from marketd import app
from marketd.audit import log
from marketd.audit import repository as audit
from marketd.audit.values import AuditFilter
from marketd.auth import sweeps as auth_sweeps
from marketd.auth.accounts import repository as accounts
from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.values import UserFilter
from marketd.auth.addresses import repository as addresses
from marketd.auth.services import repository as services
from marketd.auth.sessions.repository import sessions
from marketd.cart import repository as carts
from marketd.cart.owner import CartOwner
from marketd.cart.quotes import repository as quotes
from marketd.cart.quotes import sweeps as cart_sweeps
from marketd.catalog.exports import repository as exports
from marketd.catalog.exports.values import ExportedProduct
from marketd.catalog.imports import repository as imports
from marketd.catalog.model import ProductState, RemoteImageState
from marketd.catalog.pictures import repository as pictures
from marketd.catalog.pictures.values import RemoteImageQuery
from marketd.catalog.repository import brands, categories, products, slugs
from marketd.catalog.values import CategoryQuery, Order, ProductQuery
from marketd.delivery.model import CourierState, DeliveryOutcome, DeliveryState
from marketd.delivery.repository import couriers
from marketd.delivery.repository import pages as deliveries
from marketd.delivery.values import CourierFilter, DeliveryFilter, DeliveryOrder
from marketd.inventory.model import MovementKind
from marketd.inventory.repository import list_movements
from marketd.inventory.values import MovementQuery
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import ConcurrentUpdate
from marketd.kernel.db.database import Connection
from marketd.kernel.db.horizon import Horizon
from marketd.kernel.db.invariants import violations
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.kernel.work import sweeps as kernel_sweeps
from marketd.media import repository as media
from marketd.media.model import Purpose
from marketd.order.history.repository import list_missed
from marketd.order.lists import list_orders
from marketd.order.model import OrderState
from marketd.order.values import OrderFilter
from marketd.promotion.model import Funding, PromoCodeState
from marketd.promotion.repository import codes
from marketd.promotion.values import PromoCodeQuery
from marketd.review.model import ReviewKind, ReviewState
from marketd.review.repository import pages as reviews
from marketd.review.repository import reviews as written_reviews
from marketd.review.repository import sums
from marketd.review.values import Review, ReviewQuery
from marketd.seller import repository as sellers
from marketd.seller.model import SellerState
from marketd.seller.values import SellerQuery

from tests.integration.kernel_statements import write_tail
from tests.integration.search_statements import searches
from tests.integration.statements import Site, sites

NOW: Final = datetime(2026, 11, 29, tzinfo=UTC)
ID: Final = new_id()
KEEP: Final = timedelta(days=1)
F = TypeVar("F")

# Commands that are no queries: PostgreSQL prepares none of them, or several in one text.
COMMAND: Final = re.compile(r"\s*(BEGIN|COMMIT|ROLLBACK|SET|LOCK|CREATE|DROP|LISTEN)\b")
# Made of a day's name, and a command.
COMMANDS_MADE_LATER: Final = {"marketd.tracking.partitions.drop_old", "marketd.tracking.partitions._make"}


@dataclass
class Recorder:
    """Stands for a connection: keeps what it is sent, and finds nothing."""

    sent: list[str] = field(default_factory=list)

    async def fetch(self, statement: str, *_arguments: object) -> list[Any]:
        self.sent.append(statement)
        return []

    async def fetchrow(self, statement: str, *_arguments: object) -> None:
        self.sent.append(statement)

    async def fetchval(self, statement: str, *_arguments: object) -> Any:
        self.sent.append(statement)
        return NOW

    async def execute(self, statement: str, *_arguments: object) -> str:
        self.sent.append(statement)
        return "DELETE 0"


def each(kind: type[F], **values: object) -> Iterator[F]:
    """The value with none of these fields, with each of them alone, and with all: a statement adds them one by one."""
    yield kind()
    for name, value in values.items():
        yield kind(**{name: value})
    yield kind(**values)


Make = Callable[[Connection], Awaitable[object]]


def made_later() -> Iterator[tuple[str, Make]]:
    """Each function whose statements have optional parts, with every choice of them."""
    ids = {"buyer_id": ID, "seller_id": ID, "courier_id": ID}
    many = {f"{name}s": (one,) for name, one in ids.items()}
    since = {"create_time_from": NOW, "create_time_before": NOW}
    for cart_owner in (CartOwner.account(ID), CartOwner.guest(ID)):
        yield "marketd.cart.repository.read_cart", partial(carts.read_cart, owner=cart_owner)
        yield "marketd.cart.repository.lock", partial(carts.lock, owner=cart_owner)
        stored = partial(quotes.store, quote_id=ID, owner=cart_owner, payload="{}", now=NOW, expire_time=NOW)
        yield "marketd.cart.quotes.repository.store", stored
    for after in (None, (NOW, ID)):
        for entries in each(
            AuditFilter,
            actor_ids=(ID,),
            methods=("m",),
            resource_types=("t",),
            resource_ids=("i",),
            codes=("OK",),
            refusal_reasons=("IN_USE",),
            descending=False,
            **since,
        ):
            yield "marketd.audit.repository.list_page", partial(_positional, audit.list_page, entries, after, 9)
        for account_id, moved, newest_first in product(
            (None, ID),
            list(each(MovementQuery, variant_ids=(ID,), seller_ids=(ID,), kinds=(MovementKind.SHIPPED,), **since)),
            (True, False),
        ):
            yield (
                "marketd.inventory.repository.list_movements",
                partial(
                    _positional,
                    partial(list_movements, newest_first=newest_first),
                    moved,
                    account_id,
                    after,
                    9,
                ),
            )
    for before in (None, ID):
        for account_id, orders in product(
            (None, ID),
            list(
                each(
                    OrderFilter,
                    states=(OrderState.PAID,),
                    order_numbers=("K7QW-2M9T",),
                    order_group_ids=(ID,),
                    **many,
                    **since,
                )
            ),
        ):
            for newest_first in (True, False):
                page = partial(list_orders, newest_first=newest_first)
                yield "marketd.order.lists.list_orders", partial(_positional, page, orders, account_id, before, 9)
        for account, followed, skip in product(
            (None, (ID, ()), (ID, (ID,))),
            (
                OrderFilter(),
                OrderFilter(states=(OrderState.PAID,), buyer_ids=(ID,), seller_ids=(ID,), order_group_ids=(ID,)),
            ),
            (0, 5),
        ):
            missed = (followed, account, Horizon(7, (3, 5)), Horizon(9), NOW, skip, 9)
            yield "marketd.order.history.repository.list_missed", partial(_positional, list_missed, *missed)
        for order_by, users in product(
            ("create_time", "email"),
            list(
                each(
                    UserFilter,
                    states=(AccountState.ACTIVE,),
                    roles=(Role.BUYER,),
                    query="jo",
                    descending=False,
                    **since,
                )
            ),
        ):
            last = "jo@shop.example" if before is not None and order_by == "email" else before
            yield (
                "marketd.auth.accounts.repository.list_page",
                partial(_positional, accounts.list_page, replace(users, order=order_by), last, 9),
            )
        for descending in (True, False):
            yield (
                "marketd.auth.addresses.repository.list_page",
                partial(_positional, partial(addresses.list_page, descending=descending), ID, before, 9),
            )
            yield (
                "marketd.auth.services.repository.list_page",
                partial(_positional, partial(services.list_page, descending=descending), before, 9),
            )
            yield (
                "marketd.auth.sessions.repository.sessions.list_open",
                partial(_positional, partial(sessions.list_open, descending=descending), ID, before, NOW, NOW, 9),
            )
        for descending in (True, False):
            for kept in each(CourierFilter, states=(CourierState.ACTIVE, CourierState.CLOSED), user_ids=(ID, new_id())):
                couriers_wanted = replace(kept, is_descending=descending)
                yield (
                    "marketd.delivery.repository.couriers.list_page",
                    partial(_positional, couriers.list_page, couriers_wanted, before, 9),
                )
        for owner, by_close_time, descending in product((None, ID), (False, True), (False, True)):
            place = None if before is None else (NOW if descending else None, ID)
            for wanted in each(
                DeliveryFilter,
                states=(DeliveryState.ASSIGNED,),
                outcomes=(DeliveryOutcome.FAILED,),
                order_ids=(ID, new_id()),
                close_time_from=NOW,
                close_time_before=NOW,
                **many,
                **since,
            ):
                order_of_deliveries = DeliveryOrder(by_close_time, descending)
                yield (
                    "marketd.delivery.repository.pages.list_page",
                    partial(_positional, deliveries.list_page, owner, wanted, order_of_deliveries, place, 9),
                )
    sorts: dict[str, object] = {"create_time": NOW, "price": 1, "title": "a", "rating": 1}
    drafts = ProductQuery(seller_ids=(ID,), states=(ProductState.DRAFT,))
    for (category_ids, brand_ids, seller_ids), states, (sort, first), after_product in product(
        product(((), (ID,), (ID, new_id())), repeat=3),
        ((), (ProductState.PUBLISHED,), tuple(ProductState)),
        sorts.items(),
        (False, True),
    ):
        sells = None if after_product else not brand_ids
        query = ProductQuery(category_ids, brand_ids, seller_ids, states, sells)
        key = (first, ID) if after_product else None
        for queries, descending in (([query], True), ([query, drafts], False)):
            yield (
                "marketd.catalog.repository.products.list_products",
                partial(_positional, products.list_products, queries, Order(sort, descending), key, 9),
            )
    for one in (None, ID):
        yield "marketd.catalog.repository.products.read", partial(_positional, products.read, one, "slug")
        yield "marketd.catalog.repository.brands.read", partial(_positional, brands.read, one, "slug")
        yield "marketd.catalog.repository.categories.read", partial(_positional, categories.read, one, "slug")
    keys: dict[str, tuple[object, ...]] = {"position": (1, "name", ID), "name": ("name", ID), "create_time": (NOW, ID)}
    for (sort, category_key), prefix, is_later in product(keys.items(), ("", "na"), (False, True)):
        order = Order(sort, sort == "name")
        if sort != "position":
            brand_key = category_key if sort == "create_time" else category_key[:1]
            yield (
                "marketd.catalog.repository.brands.list_page",
                partial(_positional, brands.list_page, prefix, order, brand_key if is_later else None, 9),
            )
        for below in (
            CategoryQuery(),
            CategoryQuery(top_level=True),
            CategoryQuery((ID,), name_prefix=prefix),
            CategoryQuery((ID, new_id()), name_prefix=prefix),
        ):
            yield (
                "marketd.catalog.repository.categories.list_page",
                partial(_positional, categories.list_page, below, order, category_key if is_later else None, 9),
            )
    for shop_states, own, prefix, (sort, shop_key) in product(
        ((), (SellerState.ACTIVE,), tuple(SellerState)),
        ((), (SellerState.PENDING,)),
        ("", "na"),
        (("shop_name", None), ("shop_name", ("name", ID)), ("create_time", (NOW, ID))),
    ):
        if shop_states or own:
            shops = SellerQuery(shop_states, prefix, sort, descending=bool(prefix))
            yield (
                "marketd.seller.repository.list_page",
                partial(_positional, sellers.list_page, shops, shop_states, own, ID, shop_key, 9),
            )
    stars: dict[str, tuple[object, ...]] = {"create_time": (ID,), "rating": (3, ID), "report_count": (1, ID)}
    for (sort, review_key), reviews_wanted, is_later in product(
        stars.items(),
        list(
            each(
                ReviewQuery,
                product_ids=(ID,),
                seller_ids=(ID, new_id()),
                courier_ids=(ID,),
                kinds=(ReviewKind.SELLER,),
                ratings=(1, 5),
                with_images=True,
                reported=True,
                descending=False,
            )
        ),
        (False, True),
    ):
        for shown, own_reviews in (((ReviewState.PUBLISHED,), ()), ((), tuple(ReviewState)), (tuple(ReviewState), ())):
            yield (
                "marketd.review.repository.pages.list_page",
                partial(
                    _positional,
                    reviews.list_page,
                    replace(reviews_wanted, order=sort),
                    shown,
                    own_reviews,
                    ID,
                    review_key if is_later else None,
                    9,
                ),
            )
    for kind in ReviewKind:
        of_kind = cast("Review", SimpleNamespace(kind=kind, bought_id=ID))
        yield "marketd.review.repository.reviews.id_of", partial(_positional, written_reviews.id_of, of_kind)
    for rejected in (True, False):
        set_rejected = partial(sums.set_rejected, rejected=rejected)
        yield (
            "marketd.review.repository.sums.set_rejected",
            partial(_positional, set_rejected, ReviewKind.PRODUCT, ID),
        )
    for of_sellers, fetched, of_products, last, descending in product(
        (None, (ID,)), ((), tuple(RemoteImageState)), ((), (ID,)), (None, ID), (True, False)
    ):
        remote = RemoteImageQuery(of_sellers, fetched, of_products)
        yield (
            "marketd.catalog.pictures.repository.list_page",
            partial(_positional, partial(pictures.list_page, descending=descending), remote, last, 9),
        )
    for code_sellers, code_states, fundings, (sort, code_key) in product(
        ((), (ID,), (ID, new_id())),
        ((), (PromoCodeState.ACTIVE,)),
        ((), (Funding.PLATFORM,), (Funding.SELLER,), tuple(Funding)),
        (("create_time", None), ("create_time", (NOW, ID)), ("code", ("code", ID))),
    ):
        for own_seller_id in (None, ID):
            prefix = "co" if fundings else ""
            asked = PromoCodeQuery(code_sellers, code_states, fundings, prefix, sort, descending=bool(fundings))
            yield (
                "marketd.promotion.repository.codes.list_page",
                partial(_positional, codes.list_page, asked, own_seller_id, code_key, 9, NOW),
            )
    for purposes, media_key, way in product(((), (Purpose.PRODUCT,)), (None, (NOW, ID)), (False, True)):
        listed = partial(media.list_page, descending=way)
        yield "marketd.media.repository.list_page", partial(_positional, listed, ID, purposes, media_key, 9)
    for table in ("brands", "categories", "products"):
        yield "marketd.catalog.repository.slugs.free_slug", partial(_positional, slugs.free_slug, table, "stem", "own")
        yield "marketd.catalog.repository.slugs.taken_slugs", partial(_positional, slugs.taken_slugs, table, ["stem"])
    exported = cast("ExportedProduct", SimpleNamespace(create_time=NOW, product_id=ID))
    for export_states, behind in product(((), tuple(ProductState)), (None, exported)):
        yield (
            "marketd.catalog.exports.repository.read_batch",
            partial(_read_batch, export_states, behind),
        )
    for ensure in (imports.ensure_brands, imports.ensure_categories):
        yield "marketd.catalog.imports.repository._ensure", partial(_positional, ensure, ["name"], NOW)
    yield from searches()
    for is_answered, has_jobs, has_events in product((False, True), repeat=3):
        if is_answered or has_jobs or has_events:
            written = partial(write_tail, is_answered=is_answered, has_jobs=has_jobs, has_events=has_events)
            yield "marketd.kernel.db.tail.write", written
    yield "marketd.kernel.db.invariants.violations", partial(_positional, violations, app.INVARIANTS)
    for sweep in (
        partial(kernel_sweeps.sweep, keep_events=KEEP),
        partial(log.delete_before, keep=KEEP),
        auth_sweeps.sweep,
        cart_sweeps.sweep_quotes,
    ):
        yield "marketd.kernel.work.sweeps.delete_old", partial(_in_unit, sweep)


async def _positional(function: Callable[..., Awaitable[object]], *arguments: Any) -> object:
    *rest, connection = arguments
    return await function(connection, *rest)


async def _read_batch(states: Sequence[ProductState], behind: ExportedProduct | None, connection: Connection) -> object:
    return await exports.read_batch(connection, ID, states, behind, products=9, variants=9)


async def _in_unit(sweep: Callable[[UnitOfWork], Awaitable[int]], connection: Connection) -> object:
    return await sweep(UnitOfWork(connection, NOW))


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection: Connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def refused(connection: Connection, statements: Mapping[str, str]) -> list[str]:
    """Where a statement stands that PostgreSQL does not take, and why."""
    found: list[str] = []
    for text, where in statements.items():
        try:
            await connection.prepare(text)
        except asyncpg.PostgresError as error:
            found.append(f"{where}: {error}")
    return found


def _where(site: Site) -> str:
    return f"{site.module}.{site.function}"


async def test_every_fixed_statement_fits_the_schema(connection: Connection) -> None:
    fixed = {site.text: f"{_where(site)}:{site.line}" for site in sites() if site.text is not None}
    queries = {text: where for text, where in fixed.items() if not COMMAND.match(text)}
    assert len(queries) > 150
    assert await refused(connection, queries) == []


async def test_every_choice_of_the_optional_parts_fits_the_schema(connection: Connection) -> None:
    statements: dict[str, str] = {}
    known: set[str] = set()
    for where, make in made_later():
        recorder = Recorder()
        # Nothing is found, and some miss it; what was sent until then is what counts.
        with suppress(ConcurrentUpdate):
            await make(cast("Connection", recorder))
        assert recorder.sent, where
        known.add(where)
        statements.update(dict.fromkeys(recorder.sent, where))
    assert await refused(connection, statements) == []
    assert {_where(site) for site in sites() if site.text is None} == known | COMMANDS_MADE_LATER


async def test_a_renamed_column_is_found(connection: Connection) -> None:
    await connection.execute("ALTER TABLE brands RENAME COLUMN name_key TO key")
    fixed = {site.text: _where(site) for site in sites() if site.text is not None}
    found = await refused(connection, {text: where for text, where in fixed.items() if not COMMAND.match(text)})
    assert any(line.startswith("marketd.catalog.repository.brands.insert: ") for line in found)
