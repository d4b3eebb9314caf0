"""The composition root: the one file that builds engine, servicers, chain and server, and what runs beside them."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import structlog
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import Default
from marketplace.admin.v1 import admin_service_pb2_grpc
from marketplace.cart.v1 import cart_service_pb2_grpc
from marketplace.catalog.v1 import catalog_service_pb2_grpc
from marketplace.delivery.v1 import courier_service_pb2_grpc, delivery_service_pb2_grpc
from marketplace.inventory.v1 import inventory_service_pb2_grpc
from marketplace.order.v1 import order_service_pb2_grpc
from marketplace.payment.v1 import payment_service_pb2_grpc
from marketplace.seller.v1 import seller_service_pb2_grpc
from marketplace.tracking.v1 import tracking_service_pb2_grpc

from marketd.admin.servicer import AdminServicer
from marketd.audit.journal import AuditJournal
from marketd.auth import sweeps as auth_housekeeping
from marketd.auth.letters import Letters
from marketd.auth.sessions.keys import SigningKeysUnreadable
from marketd.auth.wiring import add_auth
from marketd.cart import sweeps as cart_jobs
from marketd.cart.quote_values import QuoteTokens
from marketd.cart.servicer import CartServicer
from marketd.catalog.servicer import CACHE_TAG, CatalogServicer
from marketd.config import Settings
from marketd.delivery.estimate import Pace
from marketd.delivery.follow_orders import OrderFollower
from marketd.delivery.quote import FlatFeeQuoter
from marketd.delivery.servicer import CourierServicer, DeliveryServicer
from marketd.delivery.watch import DeliveryWatcher
from marketd.inventory.servicer import InventoryServicer
from marketd.kernel.call.pages import PageTokens
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.call.sealing import Seal
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.failpoints import Failpoints
from marketd.kernel.db.transactor import Committed, Transactor
from marketd.kernel.events.broadcast import PostgresBroadcast
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.relay import Relay
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.money import Money
from marketd.kernel.work import sweeps
from marketd.kernel.work.job_runner import JobRunner
from marketd.kernel.work.repeat import repeat
from marketd.mail.errors import MailMisconfigured
from marketd.mail.wiring import add_post
from marketd.order import jobs as order_jobs
from marketd.order.pay import PaidOrders
from marketd.order.servicer import OrderServicer
from marketd.payment import jobs as payment_jobs
from marketd.payment.confirm import Confirming
from marketd.payment.ports import Providers
from marketd.payment.providers.sandbox import SandboxProvider
from marketd.payment.refund import Refunding
from marketd.payment.servicer import PaymentServicer
from marketd.process import logs, readiness
from marketd.process.process import App, Parts, StartRefused
from marketd.schema import revision
from marketd.seller.servicer import SellerServicer
from marketd.tracking import partitions
from marketd.tracking.servicer import TrackingServicer
from marketd.tracking.trip.journal import Journal
from marketd.tracking.uplink.couriers import HeardCouriers
from marketd.tracking.uplink.intake import Intake
from marketd.tracking.uplink.position_writer import PositionWriter
from marketd.tracking.watch.cursors import Cursors
from marketd.tracking.watch.hub import Hub
from marketd.transport.access import AccessTable, PolicyDocument
from marketd.transport.collector import Collector
from marketd.transport.edge import buckets
from marketd.transport.edge.answers import AnswerCache
from marketd.transport.edge.shared_rates import SharedRates
from marketd.transport.options import server_options
from marketd.transport.own_rules import own_rules
from marketd.transport.server import BuiltServer, build_server
from marketd.transport.start_errors import StartError

_log = structlog.get_logger(__name__)


SERVICES = (
    "marketplace.auth.v1.AuthService",
    "marketplace.auth.v1.UserService",
    "marketplace.seller.v1.SellerService",
    "marketplace.inventory.v1.InventoryService",
    "marketplace.catalog.v1.CatalogService",
    "marketplace.cart.v1.CartService",
    "marketplace.payment.v1.PaymentService",
    "marketplace.order.v1.OrderService",
    "marketplace.delivery.v1.CourierService",
    "marketplace.delivery.v1.DeliveryService",
    "marketplace.tracking.v1.TrackingService",
    "marketplace.admin.v1.AdminService",
)


async def build(settings: Settings, *, serve: bool = True, reuse_port: bool = False, admin_port: int = 0) -> App:
    """Put the process together on the database of `settings`; nothing is served before `start`.

    Raises StartRefused for a database that does not answer or whose schema is older than this version's, and for
    whatever the server itself refuses (a method without a rule, a taken port).
    """
    parts = _parts(settings)
    try:
        await _check_schema(parts.url)
        server = await _build_server(parts, serve=serve, reuse_port=reuse_port)
    except (StartRefused, StartError, SigningKeysUnreadable, MailMisconfigured, Refusal) as error:
        await parts.engine.dispose()
        await parts.readiness_engine.dispose()
        raise StartRefused(str(error)) from error
    return App(parts, server, admin_port)


def _parts(settings: Settings) -> Parts:
    if settings.database_url is None:
        raise StartRefused(
            "no database: set MARKETD_DATABASE_URL, or start with `marketd serve`, which brings its own."
        )
    url = settings.database_url.get_secret_value()
    clock = SystemClock()
    engine = create_engine(
        url,
        pool_size=settings.pool_size,
        pool_timeout_seconds=settings.pool_timeout_seconds,
    )
    # A few connections of its own, so that a full pool is not taken for a dead database, and callers are not taken for
    # unknown; refusals of a full server are written down through it, too.
    readiness_engine = create_engine(url, pool_size=3, pool_timeout_seconds=1)
    tx = Transactor(engine, clock, keep_answers=settings.request_id_lifetime, failpoints=_failpoints(settings))
    broadcast = PostgresBroadcast(url)
    feed = Feed(broadcast)
    relay = Relay(tx, lease=settings.lease)
    jobs = JobRunner(tx, lease=settings.job_lease)
    parts = Parts(
        settings=settings,
        url=url,
        engine=engine,
        readiness_engine=readiness_engine,
        tx=tx,
        readiness=Transactor(readiness_engine, clock),
        broadcast=broadcast,
        feed=feed,
        pages=PageTokens(settings.derive("page-tokens")),
        relay=relay,
        jobs=jobs,
        clock=clock,
    )
    tx.listen(feed.committed)
    tx.listen(lambda committed: _wake(parts, committed))
    broadcast.subscribe("work", lambda _payload: relay.wake())
    broadcast.subscribe("work", lambda _payload: jobs.wake())
    parts.tasks.append(broadcast.run)
    if settings.run_worker:
        parts.background += [
            relay.run,
            jobs.run,
            lambda: repeat(lambda: sweeps.sweep(tx, keep_events=settings.event_retention)),
            lambda: repeat(lambda: auth_housekeeping.sweep(tx, keep_audit=settings.audit_retention)),
            lambda: repeat(lambda: buckets.sweep(tx)),
            lambda: repeat(lambda: cart_jobs.sweep_quotes(tx)),
        ]
    return parts


def _failpoints(settings: Settings) -> Failpoints | None:
    """None but in tests; asked again here, since a worker does not go through `settings.problems()`."""
    if settings.failpoints is None:
        return None
    if settings.production:
        raise StartRefused("MARKETD_FAILPOINTS is for tests only; unset it.")
    return Failpoints(settings.failpoints)


def _wake(parts: Parts, committed: Committed) -> None:
    """Wake relay and jobs on every worker, for whoever leads there; jobs for later need no wake-up."""
    if committed.events or any(job.run_time is None for job in committed.jobs):
        parts.broadcast.publish("work", b"")


async def _check_schema(url: str) -> None:
    try:
        connection = await asyncpg.connect(url, timeout=3, command_timeout=5)
        try:
            current = await revision.current(connection)
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartRefused(
            f"the database does not answer ({type(error).__name__}); check MARKETD_DATABASE_URL and that it runs."
        ) from error
    head = revision.head()
    if revision.is_foreign(current):
        raise StartRefused(
            f"the database's schema is at {current}, which is no revision of marketd's; check MARKETD_DATABASE_URL."
        )
    if revision.is_later(current):
        # While a new version is rolled out, the one before runs on its schema.
        _log.warning("schema_is_newer", schema=current, needed=head)
    elif current != head:
        raise StartRefused(
            f"the database's schema is at {current or 'nothing'} and this version needs {head}; run `marketd migrate`."
        )


async def _build_server(parts: Parts, *, serve: bool, reuse_port: bool) -> BuiltServer | None:
    settings = parts.settings
    collector = Collector()
    caches = CatalogCaches(parts.broadcast)
    letters = Letters(Seal(settings.derive("letters")), sends_sms=settings.sends_sms)
    add_post(parts, letters)
    principals = await add_auth(parts, collector, letters)
    _add_sellers_and_goods(parts, collector, caches)
    _add_orders(parts, collector)
    _add_deliveries(parts, collector)
    tracking = await _add_tracking(parts, collector)
    collector.add(
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server, AdminServicer(tx=parts.tx, pages=parts.pages)
    )
    if not serve:
        return None
    options = server_options(settings, reuse_port=reuse_port)
    rates = SharedRates(
        parts.tx,
        options.rate_limits,
        secret=settings.derive("rate-buckets"),
        # Together the workers let at most half of a limit pass unseen.
        share=min(0.125, 0.5 / settings.workers),
    )
    journal = AuditJournal(parts.readiness, parts.clock, refusals_burst=settings.audit_refusals)
    parts.tasks += [rates.run, journal.run]
    server = build_server(
        collector,
        options,
        authenticator=principals,
        fingerprint_secret=settings.derive("request-fingerprints"),
        rates=rates,
        audit=journal,
        access_log=logs.access_line if settings.show_access_log else None,
    )
    caches.answers = server.answers
    server.calls.on_drain(tracking.on_drain)

    def end_streams(account_id: UUID | None, session_id: UUID | None, refusal: Refusal) -> None:
        if account_id is not None:
            server.calls.end_account(account_id, refusal)
        if session_id is not None:
            server.calls.end_session(session_id, refusal)

    principals.on_ended(end_streams)
    parts.tasks.append(lambda: readiness.follow(parts.readiness, server.health))
    return server


class CatalogCaches:
    """Drops the catalog's cached answers: here at once, on the other workers by broadcast (and in a second anyway)."""

    TOPIC = "catalog"

    def __init__(self, broadcast: PostgresBroadcast) -> None:
        self.answers: AnswerCache | None = None
        self._broadcast = broadcast
        broadcast.subscribe(self.TOPIC, lambda _payload: self._drop(), self._drop)

    def changed(self) -> None:
        """The catalog's after-commit hook."""
        self._broadcast.publish(self.TOPIC, b"")

    def _drop(self) -> None:
        if self.answers is not None:
            self.answers.drop(CACHE_TAG)


def _add_sellers_and_goods(parts: Parts, collector: Collector, caches: CatalogCaches) -> None:
    settings = parts.settings
    collector.add(
        seller_service_pb2_grpc.add_SellerServiceServicer_to_server,
        SellerServicer(tx=parts.tx, default_prep_minutes=settings.default_prep_minutes),
    )
    collector.add(
        inventory_service_pb2_grpc.add_InventoryServiceServicer_to_server,
        InventoryServicer(tx=parts.tx, on_change=caches.changed),
    )
    collector.add(
        catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server,
        CatalogServicer(tx=parts.tx, pages=parts.pages, currency=settings.currency, on_change=caches.changed),
    )


def _add_orders(parts: Parts, collector: Collector) -> None:
    settings, tx = parts.settings, parts.tx
    quotes = QuoteTokens(settings.derive("quotes"))
    quoter = FlatFeeQuoter(
        fee=Money(settings.delivery_fee_minor, settings.currency), pace=Pace(settings.courier_speed_mps)
    )
    collector.add(
        cart_service_pb2_grpc.add_CartServiceServicer_to_server,
        CartServicer(
            tx=tx,
            quoter=quoter,
            quotes=quotes,
            quote_lifetime=settings.quote_lifetime,
            currency=settings.currency,
        ),
    )
    providers = Providers({"sandbox": SandboxProvider(tx)}, default="sandbox")
    orders = PaidOrders()
    confirming = Confirming(tx=tx, providers=providers, orders=orders)
    refunding = Refunding(tx=tx, providers=providers, orders=orders)
    collector.add(
        payment_service_pb2_grpc.add_PaymentServiceServicer_to_server,
        PaymentServicer(
            tx=tx,
            providers=providers,
            orders=orders,
            confirming=confirming,
            refunding=refunding,
            currency=settings.currency,
        ),
    )
    collector.add(
        order_service_pb2_grpc.add_OrderServiceServicer_to_server,
        OrderServicer(
            tx=tx,
            pages=parts.pages,
            feed=parts.feed,
            quotes=quotes,
            providers=providers,
            unpaid_lifetime=settings.unpaid_order_lifetime,
            currency=settings.currency,
        ),
    )
    payment_jobs.register(parts.jobs, confirming, refunding)
    order_jobs.register(parts.jobs)
    if settings.run_worker:
        parts.background.append(lambda: payment_jobs.run_sweep(confirming))


def _add_deliveries(parts: Parts, collector: Collector) -> None:
    pace = Pace(parts.settings.courier_speed_mps)
    for event_type, name, handler in OrderFollower(pace=pace).handlers():
        parts.relay.register(event_type, name, handler)
    collector.add(courier_service_pb2_grpc.add_CourierServiceServicer_to_server, CourierServicer(tx=parts.tx))
    collector.add(
        delivery_service_pb2_grpc.add_DeliveryServiceServicer_to_server,
        DeliveryServicer(
            tx=parts.tx,
            pages=parts.pages,
            watcher=DeliveryWatcher(tx=parts.tx, feed=parts.feed, tokens=parts.pages),
            pace=pace,
        ),
    )


async def _add_tracking(parts: Parts, collector: Collector) -> TrackingServicer:
    settings, tx = parts.settings, parts.tx
    await partitions.keep_house(tx, settings.position_retention)
    cursors = Cursors(settings.derive("tracking-cursors"))
    hub = Hub(tx, parts.feed, parts.broadcast, cursors, parts.clock)
    writer, journal, couriers = PositionWriter(tx), Journal(tx), HeardCouriers(tx, parts.feed, parts.broadcast)
    intake = Intake(hub, writer, journal, Pace(settings.courier_speed_mps))
    servicer = TrackingServicer(tx, hub, intake, couriers, cursors, rate_hz=settings.position_rate_hz)
    collector.add(tracking_service_pb2_grpc.add_TrackingServiceServicer_to_server, servicer)
    parts.tasks += [hub.run, writer.run, journal.run, couriers.run]
    if settings.run_worker:
        parts.background.append(lambda: partitions.run(tx, settings.position_retention))
    return servicer


def descriptor_set() -> FileDescriptorSet:
    """The contract of SERVICES: its files and all that they import, what is imported first."""
    found: dict[str, FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        if file.name in found:
            return
        for imported in file.dependencies:
            add(imported)
        found[file.name] = FileDescriptorProto.FromString(file.serialized_pb)

    for name in SERVICES:
        add(Default().FindServiceByName(name).file)
    return FileDescriptorSet(file=found.values())


def policy_document() -> PolicyDocument:
    """The access table of everything that a server of this version serves; needs neither settings nor database."""
    rules = (*AccessTable.from_names(SERVICES), *own_rules().values())
    return AccessTable({rule.method: rule for rule in rules}).policy_document()
