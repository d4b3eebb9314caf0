"""A process put together from the rooms that app.py lists: their slices, the background work, and the server."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from uuid import UUID

from marketd.audit.journal import AuditJournal
from marketd.auth.errors import RolesChanged
from marketd.config import Settings
from marketd.kernel.call.guest_tokens import guest_tokens_of
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.events.relay import Relay
from marketd.kernel.slice import ANSWERS_TOPIC, CannotStart, LiveAuthenticator, Room, Slice, Sweep, Work
from marketd.kernel.work import sweeps as kernel_sweeps
from marketd.kernel.work.job_runner import JobRunner
from marketd.kernel.work.repeat import repeat
from marketd.kernel.work.sweeps import BATCH
from marketd.process import logs, memory, readiness
from marketd.process.core import Core, StartRefused, make_core
from marketd.process.process import App
from marketd.schema.check import DatabaseUnfit, check_schema
from marketd.transport.collector import Collector, service_of
from marketd.transport.edge import buckets
from marketd.transport.edge.shared_rates import SharedRates
from marketd.transport.options import server_options
from marketd.transport.server import BuiltServer, ServerOptions, build_server
from marketd.transport.server_info import ServerInfoServicer
from marketd.transport.start_errors import StartError

SWEEP_SECONDS = 60.0


async def assemble(
    settings: Settings,
    rooms: Sequence[Room],
    *,
    serve: bool,
    reuse_port: bool,
    admin_port: int,
    gateway_socket: Path | None = None,
) -> App:
    """Put the process together on the database of `settings`; nothing is served before `start`.

    Raises StartRefused for a database that does not answer or whose schema is older than this version's, and for
    whatever the slices or the server refuse (keys that do not open, a method without a rule, a taken port).
    """
    core = make_core(settings)
    try:
        await check_schema(core.url)
        slices = [room.build(core.parts) for room in rooms]
        for each in slices:
            for start in each.starts:
                await start()
        take_on(slices, core.relay, core.jobs)
        tasks: list[Work] = [core.broadcast.run, *(task for each in slices for task in each.tasks)]
        options = server_options(settings, reuse_port=reuse_port, gateway_socket=gateway_socket) if serve else None
        server = _build_server(core, slices, tasks, options) if options is not None else None
    except StartRefused:
        await core.dispose()
        raise
    except (DatabaseUnfit, StartError, CannotStart, Refusal) as error:
        await core.dispose()
        raise StartRefused(str(error)) from error
    tasks.append(memory.keep_small)
    if settings.run_worker:
        tasks += _background(core, slices)
    return App(core, server, tasks, [close for each in slices for close in each.closers], admin_port)


def take_on(slices: Sequence[Slice], relay: Relay, jobs: JobRunner) -> None:
    """Give the relay and the job runner what the slices have for them."""
    for each in slices:
        for event_type, name, handler in each.handlers:
            relay.register(event_type, name, handler)
        for kind, job in each.jobs.items():
            jobs.register(kind, job)
        for kind, outside in each.outside_jobs.items():
            jobs.register_outside(kind, outside)


def _background(core: Core, slices: Sequence[Slice]) -> list[Work]:
    settings, tx = core.parts.settings, core.parts.tx
    sweeps = [
        Sweep("kernel.sweep", partial(kernel_sweeps.sweep, keep_events=settings.event_retention)),
        Sweep("rates.sweep", buckets.sweep),
        *(sweep for each in slices for sweep in each.sweeps),
    ]
    return [
        core.relay.run,
        core.jobs.run,
        *(partial(_sweep, tx, sweep) for sweep in sweeps),
        *(work for each in slices for work in each.background),
    ]


async def _sweep(tx: Transactor, sweep: Sweep) -> None:
    """Sweep until cancelled: again soon while it finds whole batches, else after a pause."""

    async def once() -> bool:
        return await tx.run(sweep.unit, sweep.delete) >= BATCH

    await repeat(sweep.unit, once, pause_seconds=SWEEP_SECONDS)


def _build_server(core: Core, slices: Sequence[Slice], tasks: list[Work], options: ServerOptions) -> BuiltServer:
    """The server over the slices' servicers; adds to `tasks` what runs beside it."""
    settings, parts = core.parts.settings, core.parts
    collector = Collector()
    for each in slices:
        for servicer in each.servicers:
            collector.add_servicer(servicer)
    limits = {name: limit for each in slices for name, limit in each.limits.items()}
    services = (*collector.services, service_of(ServerInfoServicer))
    collector.add_servicer(ServerInfoServicer(services, settings, options, limits))
    rates = SharedRates(
        parts.tx,
        options.rate_limits,
        secret=settings.derive("rate-buckets"),
        # Together the workers let at most half of a limit pass unseen.
        share=min(0.125, 0.5 / settings.workers),
    )
    journal = AuditJournal(parts.spare, parts.clock, refusals_burst=settings.audit_refusals)
    authenticator = _authenticator(slices)
    server = build_server(
        collector,
        options,
        authenticator=authenticator,
        guest_cart=guest_tokens_of(settings).read,
        fingerprint_secret=settings.derive("request-fingerprints"),
        rates=rates,
        audit=journal,
        access_log=logs.access_line if settings.show_access_log else None,
    )
    # Dropped on every worker by broadcast; where a hint was lost, all of them go (and each in a second anyway).
    core.broadcast.subscribe(ANSWERS_TOPIC, lambda tag: server.answers.drop(tag.decode()), server.answers.clear)

    def end_streams(user_id: UUID | None, session_id: UUID | None, refusal: Refusal) -> None:
        if user_id is not None:
            roles_changed = isinstance(refusal, RolesChanged)
            server.calls.end_account(
                user_id, lambda rule: RolesChanged(rule.required_roles) if roles_changed else refusal
            )
        if session_id is not None:
            server.calls.end_session(session_id, refusal)

    authenticator.on_ended(end_streams)
    for each in slices:
        for drain in each.drains:
            server.calls.on_drain(drain)
    tasks += [rates.run, journal.run, lambda: readiness.watch_database(parts.spare, server.health)]
    return server


def _authenticator(slices: Sequence[Slice]) -> LiveAuthenticator:
    for each in slices:
        if each.authenticator is not None:
            return each.authenticator
    raise RuntimeError("no slice knows tokens, so nobody could call")
