"""The whole run: start and seed the server, capture its answers, start the floors, measure, leave nothing behind."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc

from marketd.bench import imports, logins, plan, statements
from marketd.bench.background import RelayEvent, RunJob
from marketd.bench.carts import AddCartItem, GetCart, RefreshTokens
from marketd.bench.clients import load_clients
from marketd.bench.couriers import StreamLocations, WatchFanout
from marketd.bench.imports import ImportsMeasured, measure_imports
from marketd.bench.logins import LoginsMeasured, measure_logins
from marketd.bench.measure import Measured, measure
from marketd.bench.operations import DEFAULT, SERVER, TUNED, Operation, Round, Side, Target
from marketd.bench.orders import PlaceOrder
from marketd.bench.reads import ColdProduct, HotRead
from marketd.bench.report import Report
from marketd.bench.servers import (
    Running,
    Starting,
    complaints,
    run_command,
    settings_environment,
    start_floors,
    start_server,
)
from marketd.bench.world import World
from marketd.embedded import EmbeddedPostgres

LOGINS = "logins"
IMPORTS = "imports"
GROUPS = ("reads", "cart", "orders", "positions", "work", LOGINS, IMPORTS)

ROUNDS, QUICK_ROUNDS = 5, 1
_SECONDS, _QUICK_SECONDS = 2.0, 0.15
_LOAD_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Options:
    """What to run. groups: of GROUPS; rounds, and rows of the imported file: at least 1, None for the usual number."""

    groups: Sequence[str]
    quick: bool = False
    rounds: int | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class _Stage:
    """What stands while operations are measured."""

    server: Running
    cold: Starting | None
    hashing: Starting | None
    importing: Starting | None
    folder: Path
    dsn: str
    postmaster_pid: int


def operations_of(groups: Sequence[str]) -> list[Operation]:
    """The operations of these groups, in the order of GROUPS; targets are those of the design (speed)."""
    by_group: Mapping[str, Sequence[Operation]] = {
        "reads": (
            HotRead("get_product_hot", "GetProduct", Target(tuned=1.2, default=0.9)),
            HotRead("list_products_hot", "ListProducts", Target(tuned=1.3, default=1.0)),
            HotRead("search_products_hot", "SearchProducts", Target(tuned=1.3, default=1.0)),
            ColdProduct(),
        ),
        "cart": (GetCart(), AddCartItem(), RefreshTokens()),
        "orders": (PlaceOrder(),),
        "positions": (StreamLocations(1, Target(tuned=1.5)), StreamLocations(10, Target(tuned=2.0)), WatchFanout()),
        "work": (RelayEvent(), RunJob()),
    }
    return [operation for group in GROUPS if group in groups for operation in by_group.get(group, ())]


def run(options: Options, progress: Callable[[str], None]) -> Report:
    """Run it. Raises ServerFailed, LoadFailed, Mismatch and grpc's errors, with what went wrong in their text.

    Call it on the main thread: the servers end with the thread that started them.
    """
    operations = operations_of(options.groups)
    size = Round(_QUICK_SECONDS if options.quick else _SECONDS, options.quick)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="marketd-bench-")))
        folder.chmod(0o755)  # PostgreSQL may have to run as another user than root
        progress("starting the server")
        first = start_server("server", folder)
        stack.callback(first.stop)
        server = first.wait()
        postgres = EmbeddedPostgres(folder / "data" / "postgres")
        postgres.start()  # attaches to the server's
        stack.callback(postgres.stop)
        dsn, postmaster_pid = postgres.dsn(), postgres.postmaster_pid
        if postmaster_pid is None:
            raise RuntimeError("the server's PostgreSQL is gone")
        cold = None
        if any(operation.cold for operation in operations):
            # The first server's relay and jobs do for both.
            extra = {
                "MARKETD_DATABASE_URL": dsn,
                "MARKETD_ANSWER_CACHE_SECONDS": "0",
                "MARKETD_RUN_WORKER": "false",
            }
            cold = start_server("cold", folder, extra)
            stack.callback(cold.stop)
        hashing = None
        if LOGINS in options.groups:
            costly = {
                "MARKETD_DATABASE_URL": dsn,
                "MARKETD_BCRYPT_COST": logins.QUICK_BCRYPT_COST if options.quick else logins.BCRYPT_COST,
                "MARKETD_RUN_WORKER": "false",
            }
            hashing = start_server("hashing", folder, costly)
            stack.callback(hashing.stop)
        importing = None
        if IMPORTS in options.groups:
            workers = {
                "MARKETD_DATABASE_URL": dsn,
                "MARKETD_WORKERS": str(imports.WORKERS),
                "MARKETD_RUN_WORKER": "false",
            }
            importing = start_server("importing", folder, workers)
            stack.callback(importing.stop)
        rows = options.rows or (imports.QUICK_ROWS if options.quick else imports.ROWS)
        stage = _Stage(server, cold, hashing, importing, folder, dsn, postmaster_pid)
        try:
            return asyncio.run(_run(operations, stage, size, rounds, rows, progress))
        except Exception:
            for line in complaints(folder):
                progress(line)
            raise


async def _run(
    operations: Sequence[Operation],
    stage: _Stage,
    size: Round,
    rounds: int,
    rows: int,
    progress: Callable[[str], None],
) -> Report:
    async with grpc.aio.insecure_channel(stage.server.target) as channel, load_clients(_LOAD_PROCESSES) as clients:
        world = World(channel, stage.dsn)
        environment = settings_environment(stage.folder, {"MARKETD_DATABASE_URL": stage.dsn})
        run_command(
            ["create-admin", "--email", world.admin_email, "--password-stdin"], environment, world.password + "\n"
        )
        methods = []
        for operation in operations:
            progress(f"preparing {operation.name}")
            methods += await operation.prepare(world, size)
        await world.execute(statements.COPIES)
        for operation in operations:
            await operation.copied(world)
        # What autovacuum would do within a minute, in the middle of somebody's round.
        await world.execute("VACUUM (ANALYZE)")
        path = stage.folder / "floor-plan.json"
        path.write_text(plan.dump(methods))
        cold = None
        if stage.cold is not None:
            progress("waiting for the server without an answer cache")
            cold = stage.cold.wait()
        measured: list[Measured] = []
        if operations:
            progress("starting the floors")
            floors = start_floors(stage.folder, path, stage.dsn, stage.server)
            try:
                measured = [
                    await measure(
                        operation,
                        world,
                        _sides(cold if operation.cold and cold is not None else stage.server, floors),
                        clients,
                        stage.postmaster_pid,
                        size,
                        rounds,
                        progress,
                    )
                    for operation in operations
                ]
            finally:
                for floor in floors.values():
                    floor.stop()
        signing_in: LoginsMeasured | None = None
        if stage.hashing is not None:
            progress("waiting for the server with costly hashes")
            hashing = stage.hashing.wait()
            side = Side(SERVER, hashing.target, hashing.pids)
            signing_in = await measure_logins(world, side, clients, stage.postmaster_pid, size, rounds, progress)
        imported: ImportsMeasured | None = None
        if stage.importing is not None:
            progress("waiting for the server that imports")
            importing = stage.importing.wait()
            side = Side(SERVER, importing.target, importing.pids)
            imported = await measure_imports(
                world, side, clients, stage.postmaster_pid, size, rows, stage.folder, progress
            )
        return Report(measured, size.quick, signing_in, imported)


def _sides(server: Running, floors: Mapping[str, Running]) -> list[Side]:
    return [
        Side(SERVER, server.target, server.pids),
        *(Side(variant, floors[variant].target, floors[variant].pids) for variant in (DEFAULT, TUNED)),
    ]
