"""A story that stops in the middle leaves nobody on the road; a demo that begins too early waits for its data."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from marketd.config import Settings
from marketd.demo.defaults import PRODUCTS, TRACE
from marketd.demo.presentation import JsonScreen
from marketd.demo.records import CheckFailed, DemoOptions, Progress, StepRecord
from marketd.demo.seed import seed, signed_in
from marketd.demo.steps import run_demo
from marketd.demo.watch_live import watch_live
from marketd.process.process import App
from marketplace.delivery.v1 import delivery_pb2, delivery_service_pb2

from tests.canaries import MARK
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD
from tests.worlds.workers import make_admin

ROW = (
    "Handle,Title,Vendor,Published,Option1 Name,Option1 Value,Variant Inventory Qty,Variant Price\n"
    "mug,Mug,Acme,true,Title,Default Title,5,9.50\n"
)


def options(app: App, admin: tuple[str, str] = (ADMIN_EMAIL, ADMIN_PASSWORD), **more: Any) -> DemoOptions:
    """The story against this server, without waiting on the way."""
    given = {"speed": 0, "products": PRODUCTS, "trace": TRACE, **more}
    return DemoOptions(target=f"127.0.0.1:{app.port}", admin_email=admin[0], admin_password=admin[1], **given)


class StoppingScreen(JsonScreen):
    """Asks the story to stop, or breaks it, when a step begins."""

    def __init__(self, out: io.StringIO, at: str, stop: asyncio.Event | None = None) -> None:
        super().__init__(out)
        self._at, self._stop = at, stop

    def begin(self, step: str, title: str) -> None:
        """The moment."""
        if step == self._at and self._stop is not None:
            self._stop.set()
        if step == self._at and self._stop is None:
            raise CheckFailed("broken by the test")


async def open_things(app: App, database_url: str) -> dict[str, int]:
    """What the server has open: deliveries on the road, orders under way, shifts that run."""
    connection = await asyncpg.connect(database_url)
    try:
        shifts = await connection.fetchval("SELECT count(*) FROM shifts WHERE end_time IS NULL")
        orders = await connection.fetchval(
            "SELECT count(*) FROM orders WHERE state IN"
            " ('PENDING_PAYMENT', 'PAID', 'ACCEPTED', 'READY', 'OUT_FOR_DELIVERY')"
        )
    finally:
        await connection.close()
    states = [state for state in delivery_pb2.DeliveryState.values() if state]
    states.remove(delivery_pb2.DELIVERY_STATE_CLOSED)
    async with signed_in(f"127.0.0.1:{app.port}", ADMIN_EMAIL, ADMIN_PASSWORD) as client:
        request = delivery_service_pb2.ListDeliveriesRequest(states=states)
        deliveries = [delivery async for delivery in client.deliveries(request)]
    return {"deliveries": len(deliveries), "orders": orders, "shifts": shifts}


NOTHING = {"deliveries": 0, "orders": 0, "shifts": 0}


@pytest.mark.usefixtures("admin")
async def test_wherever_the_story_is_stopped_nothing_is_left_open_and_what_was_done_is_said(
    app: App, database_url: str
) -> None:
    ends: dict[str, set[str]] = {
        "seller": set(),
        "pay": {"cancelled"},
        "assign": {"cancelled", "shift"},
        "pick_up": {"cancelled", "shift"},
        "complete": {"delivered", "shift"},
    }
    for at, told in ends.items():
        out, stop = io.StringIO(), asyncio.Event()
        held = await run_demo(options(app), StoppingScreen(out, at, stop), stop)
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        assert not held
        assert [line["step"] for line in lines[-2:]] == ["wind_up", "summary"], at
        detail = lines[-2]["detail"]
        assert lines[-2]["ok"], detail
        found = set(detail.keys()) - {"remains"}
        # The stop may come while the pick-up is on its way to the server; then the ride is brought to its end.
        assert found == told or (at == "pick_up" and found == ends["complete"]), at
        assert ("demo-shop-" in detail["remains"]) is (at != "seller")
        assert await open_things(app, database_url) == NOTHING, at


@pytest.mark.usefixtures("admin")
async def test_a_story_that_breaks_is_wound_up_like_one_that_is_stopped(app: App, database_url: str) -> None:
    out = io.StringIO()
    with pytest.raises(CheckFailed, match="broken by the test"):
        await run_demo(options(app), StoppingScreen(out, "track"))
    assert [json.loads(line)["step"] for line in out.getvalue().splitlines()][-1] == "wind_up"
    assert await open_things(app, database_url) == NOTHING


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.faults)])
@pytest.mark.usefixtures("admin")
async def test_ctrl_c_on_the_way_ends_the_ride_the_shift_and_then_the_command(
    app: App, database_url: str, number: signal.Signals
) -> None:
    process = await started(app, "--speed", "1")
    while b'"pick_up"' not in await process.read_line():
        pass
    assert (await open_things(app, database_url))["deliveries"] == 1
    process.send(number)
    rest = [json.loads(line) for line in await process.rest()]
    assert await process.code() == 130
    assert [line["step"] for line in rest] == ["wind_up", "summary"]
    assert rest[0]["ok"]
    assert rest[0]["detail"]["shift"] == "ended"
    assert rest[0]["detail"]["delivered"]
    assert await open_things(app, database_url) == NOTHING


@pytest.mark.usefixtures("admin")
async def test_a_second_ctrl_c_ends_at_once(app: App) -> None:
    process = await started(app, "--speed", "1", as_json=False)
    for awaited in (b"picks it up", b"Stopping"):
        while awaited not in await process.read_line():
            pass
        process.send(signal.SIGINT)
    assert await asyncio.wait_for(process.code(), 30) == -signal.SIGINT


# -- rides beside each other, and a server that goes away


class RidingScreen(JsonScreen):
    """Tells how far a ride is, and how each step ended."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.number, self.settled = "", 0
        self.records: list[StepRecord] = []
        self._moved = asyncio.Event()

    def update(self, progress: Progress) -> None:
        """How it stands."""
        self.number, self.settled = progress.order_number, progress.stored + progress.rejected
        self._moved.set()

    def finish(self, record: StepRecord) -> None:
        """A step is over."""
        self.records.append(record)

    async def rides(self) -> None:
        """Wait until a position has arrived."""
        while not self.settled:
            self._moved.clear()
            await asyncio.wait_for(self._moved.wait(), 30)


class Ride:
    """A story that rides until it is stopped; a speed near 0 stands still after the first position."""

    def __init__(self, app: App, speed: float) -> None:
        self.screen, self._stop = RidingScreen(), asyncio.Event()
        self._task = asyncio.create_task(run_demo(options(app, speed=speed), self.screen, self._stop))

    async def stop(self) -> None:
        """Bring it to its end."""
        self._stop.set()
        await asyncio.wait_for(self._task, 30)


@pytest.mark.usefixtures("admin")
async def test_a_watch_shows_a_ride_that_moves_although_a_newer_one_stands_still(app: App) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()

    async def until(text: str) -> None:
        while text not in (line := await asyncio.wait_for(said.get(), 30)):
            assert not line.startswith("Order"), line

    def watching(**seconds: float) -> asyncio.Task[None]:
        return asyncio.create_task(watch_live(options(app), said.put_nowait, silence_seconds=0.5, **seconds))

    moves = Ride(app, 5)
    await moves.screen.rides()
    stands = Ride(app, 1e-6)
    await stands.screen.rides()
    watch = watching()
    await until(f"Order {moves.screen.number}")
    await moves.stop()
    await asyncio.wait_for(watch, 30)
    # Now there is only one, which does not move; then another sets out.
    while not said.empty():
        said.get_nowait()
    watch = watching(look_seconds=0.3)
    await until(f"Order {stands.screen.number}")
    moves = Ride(app, 5)
    await until("another one moves")
    await until(f"Order {moves.screen.number}")
    for ride in (moves, stands):
        await ride.stop()
    await asyncio.wait_for(watch, 30)


@pytest.mark.usefixtures("admin")
async def test_a_server_that_goes_away_on_the_way_is_noticed_and_the_open_order_named(app: App) -> None:
    bridge = await Bridge.to(app.port)
    screen = RidingScreen()
    there = replace(options(app, speed=5, silence_seconds=0.5), target=f"127.0.0.1:{bridge.port}")
    playing = asyncio.create_task(run_demo(there, screen))
    await screen.rides()
    await bridge.break_off()
    assert not await asyncio.wait_for(playing, 60)
    track, wind_up = screen.records[-2:]
    assert (track.step, wind_up.step) == ("track", "wind_up")
    assert "the server is gone: no answer for" in track.error
    assert "positions not acknowledged" in track.error
    assert wind_up.title == "Stopped in the middle, and not everything could be brought to its end"
    assert wind_up.error == (
        f"the server does not answer; order {screen.number}, if it was not closed before, stays open"
    )


class Bridge:
    """A way to the server that can break off, after which nobody listens at its end."""

    def __init__(self) -> None:
        self._ends: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server
        self.port = 0

    @classmethod
    async def to(cls, port: int) -> Bridge:
        """A bridge to that port."""
        bridge = cls()

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await reader.read(65_536):
                    writer.write(data)
            writer.close()

        async def cross(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", port)
            bridge._ends += [writer, onward_writer]
            await asyncio.gather(carry(reader, onward_writer), carry(onward_reader, writer))

        bridge._server = await asyncio.start_server(cross, "127.0.0.1", 0)
        bridge.port = bridge._server.sockets[0].getsockname()[1]
        return bridge

    async def break_off(self) -> None:
        """Close it, and all connections over it."""
        self._server.close()
        for end in self._ends:
            end.transport.abort()
        await asyncio.sleep(0)


class Demo:
    """`marketd demo` as a child process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        self._process, self._out = process, process.stdout

    async def read_line(self) -> bytes:
        """Its next line; fails when there is none."""
        line = await asyncio.wait_for(self._out.readline(), 60)
        assert line, "the command has ended"
        return line

    async def rest(self) -> list[bytes]:
        """All further lines."""
        return (await asyncio.wait_for(self._out.read(), 60)).splitlines()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def code(self) -> int:
        """Its exit code."""
        return await self._process.wait()


async def started(app: App, *arguments: str, as_json: bool = True) -> Demo:
    """The command, running against this server."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "marketd", "demo", "--target", f"127.0.0.1:{app.port}", *arguments),
        *("--admin-email", ADMIN_EMAIL, "--admin-password", ADMIN_PASSWORD),
        *(["--json"] if as_json else []),
        stdout=subprocess.PIPE,
    )
    return Demo(process)


# -- the demo's data


class WaitingScreen(JsonScreen):
    """Notices that something is waited for."""

    def __init__(self, out: io.StringIO) -> None:
        super().__init__(out)
        self.said: list[str] = []
        self.waits = asyncio.Event()

    def say(self, text: str) -> None:
        """The message."""
        self.said.append(text)
        self.waits.set()


async def test_a_demo_that_begins_too_early_says_that_it_waits_for_the_data_and_then_plays(
    app: App, settings: Settings, tmp_path: Path
) -> None:
    products = tmp_path / "products.csv"
    products.write_text(ROW)
    screen = WaitingScreen(io.StringIO())
    playing = asyncio.create_task(run_demo(options(app, products=products, patience_seconds=60), screen))
    await asyncio.wait_for(screen.waits.wait(), 30)
    await make_admin(settings)
    await seed(f"127.0.0.1:{app.port}", ADMIN_EMAIL, ADMIN_PASSWORD, products)
    assert await playing
    assert len(screen.said) == 1
    assert "waiting up to 60 s for the data of serve --demo" in screen.said[0]


async def test_waiting_for_data_has_an_end_and_what_is_no_demos_admin_is_not_waited_for(
    app: App, admin: tuple[str, str], tmp_path: Path
) -> None:
    wrong = (admin[0], f"not the password {MARK}")
    for patience_seconds, said in ((0.2, "no demo data came within 0.2 s"), (0.0, "with this password; make one")):
        out = io.StringIO()
        screen = WaitingScreen(out)
        assert not await run_demo(options(app, wrong, patience_seconds=patience_seconds), screen)
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        assert [line["step"] for line in lines] == ["trace", "sign_in", "summary"]
        assert said in lines[1]["detail"]["error"]
        assert screen.waits.is_set() is (patience_seconds > 0)
    products = tmp_path / "products.csv"
    products.write_text(ROW)
    await seed(f"127.0.0.1:{app.port}", *admin, products)
    screen = WaitingScreen(io.StringIO())
    assert not await run_demo(options(app, wrong, patience_seconds=600), screen)
    assert not screen.waits.is_set()  # the data are there: waiting would change nothing
