"""Running the demo: the story from the first sign-in to the summary."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from marketd.demo import basket, buy, deliver, goods, reviews, searching, shop
from marketd.demo.people import Cast, assemble
from marketd.demo.records import DemoOptions, Summary
from marketd.demo.stage import Screen, Stage, StoryStopped
from marketd.demo.traces.points import TraceError, ends
from marketd.demo.traces.read import read_trace
from marketd.demo.watches import Watchers, kinds
from marketd.demo.wind_up import wind_up

_ASKED_AGAIN_SECONDS = 5.0


async def run_demo(options: DemoOptions, screen: Screen, stop: asyncio.Event | None = None) -> bool:
    """Play the story against the server at `options.target`; whether every step held.

    It makes its own people and shop with names of this run, so it may be played again and again on one server. Once
    `stop` is set, or a step does not hold, it leaves no ride open and ends.
    """
    begun, story = time.monotonic(), _Story(options, Stage(screen))
    with suppress(StoryStopped):  # the step that stopped it is in the records
        await story.run(stop or asyncio.Event())
    summary = story.summary(time.monotonic() - begun)
    screen.close(summary)
    return summary.ok


async def _ended(*tasks: asyncio.Task[object]) -> None:
    """Cancel these and wait for their end; what clings to its work is asked again, for rides wait to be wound up."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_ASKED_AGAIN_SECONDS)


class _Story:
    """One run; it remembers the ride, so that a story that stopped early can still say what was sent."""

    def __init__(self, options: DemoOptions, stage: Stage) -> None:
        self._options = options
        self._stage = stage
        self._ride: deliver.Ride | None = None
        self._finished = False

    async def run(self, stop: asyncio.Event) -> None:
        """Play, and wind up what is left when the story does not come to its end. Raises StoryStopped."""
        async with assemble(self._options) as cast:
            playing, stopping = asyncio.create_task(self._play(cast)), asyncio.create_task(stop.wait())
            try:
                await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _ended(playing, stopping)
            if stop.is_set() and not self._finished:
                self._stage.screen.still("Stopping: open rides are brought to their end; Ctrl-C again ends at once.")
            if not self._finished and (stop.is_set() or cast.buyer.tokens is not None):
                await wind_up(self._stage, cast)
            if not playing.cancelled():
                playing.result()

    async def _play(self, cast: Cast) -> None:
        """Play every scene. Raises StoryStopped at the first step that does not hold."""
        stage, options = self._stage, self._options
        async with stage.step("trace", f"The trace {options.trace.name} is read") as detail:
            try:
                recorded = await asyncio.to_thread(read_trace, options.trace)
            except TraceError as error:
                raise TraceError(f"--trace {error}") from error
            points = recorded.points
            detail["points"], detail["notes"] = len(points), list(recorded.notes)
            if recorded.left_out:
                detail["left_out"] = recorded.left_out
            if recorded.times_made:
                detail["times_made"] = recorded.times_made
            start, end = ends(points)
        async with Watchers() as watchers:
            await shop.sign_in(stage, cast, options)
            seller_id = await shop.open_shop(stage, cast, start)
            products = await shop.fill_shop(stage, cast, options, seller_id)
            await shop.hang_picture(stage, cast, products)
            await searching.search(stage, cast, seller_id, products)
            currency = goods.currency_of(products)
            voucher = await goods.open_second_shop(stage, cast, start, currency)
            codes = await goods.make_codes(stage, cast, seller_id, currency)
            variants = await basket.browse(stage, cast, seller_id)
            await basket.fill_basket(stage, cast, options, variants, voucher, codes)
            purchase = await buy.buy(stage, cast, watchers, end, voucher, codes)
            await buy.cancel_a_piece(stage, cast, purchase)
            await buy.prepare(stage, cast, purchase)
            await buy.hand_out_vouchers(stage, cast, purchase)
            self._ride = ride = await deliver.hire(stage, cast, watchers)
            await deliver.assign(stage, cast, watchers, purchase, ride)
            await deliver.pick_up(stage, cast, ride)
            await deliver.track(stage, cast, ride, options, points)
            await deliver.complete(stage, cast, ride)
            await deliver.check_watch(stage, ride)
            await buy.check_order(stage, cast, purchase)
            await reviews.write(stage, cast, purchase, seller_id, ride.courier_id)
            await deliver.end_shift(stage, cast, ride)
        self._finished = True

    def summary(self, seconds: float) -> Summary:
        """How it went; it went well only when every scene was played and every step held."""
        ride, records = self._ride, self._stage.records
        return Summary(
            ok=self._finished and all(record.ok for record in records),
            seconds=round(seconds, 3),
            steps=len(records),
            positions_sent=ride.played.sent if ride is not None else 0,
            positions_stored=ride.played.stored if ride is not None else 0,
            positions_rejected=ride.played.rejected if ride is not None else 0,
            watch_events=kinds(ride.watch.seen) if ride is not None and ride.watch is not None else {},
        )
