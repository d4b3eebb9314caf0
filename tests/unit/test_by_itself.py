"""What a process does without being asked: what follows events, jobs, sweeps and works. All of it, written out.

Most of it is missed only weeks later, when a table is full or a shop waits, so nothing of it may go unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import SystemClock

from tests.worlds.built import Built
from tests.worlds.parts import make_parts, make_settings

EXPECTED: Final = """
auth job auth.password_reset
auth sweep auth.sweep
auth task Principals.run
auth closer Passwords.close
audit sweep audit.sweep
cart sweep cart.sweep_guests
cart sweep cart.sweep_quotes
cart task CartWatchers.run
catalog background Drain.run
catalog background PictureFetching.run
catalog handler stock.came_back: catalog.stock_came_back
catalog handler stock.ran_out: catalog.stock_ran_out
catalog start start
catalog sweep search.age
delivery handler account.deleted: delivery.forget
delivery handler order.cancelled: delivery.cancel
delivery handler order.lines_cancelled: delivery.recount
delivery handler order.ready: delivery.create
delivery job delivery.forget
delivery sweep delivery.sweep_proofs
mail outside job mail.send
mail outside job sms.send
media outside job media.remove_files
media start LocalStore.check
media sweep media.sweep
media sweep media.sweep_files
media task RenderPool.run
order handler account.deleted: order.account_deleted
order handler order.cancelled: order.sales_cancelled
order handler order.lines_cancelled: order.sales_cancelled
order handler order.paid: order.sales_paid
order handler order.refunded: order.sales_refunded
order handler order.rejected: order.sales_cancelled
order handler seller.suspended: order.seller_suspended
order job order.end_abandoned
order job order.expire
order job order.find_abandoned
order job order.forget_buyer
order job order.forget_shop
order job order.give_up
order job order.pay_free
order task OrderHub.run
payment outside job payment.reconcile
payment outside job payment.refund
tracking task HeardCouriers.run
tracking task Hub.run
tracking task Journal.run
tracking task PositionWriter.run
"""


def _named(works: Iterable[Any]) -> list[str]:
    """What they are called; what a wiring puts together on the spot has no name of its own and is left out."""
    bare = [work.func if isinstance(work, partial) else work for work in works]
    return [work.__qualname__ for work in bare if "<locals>" not in work.__qualname__]


async def test_everything_that_is_to_happen_by_itself_is_wired() -> None:
    engine = create_engine("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1, pool_timeout_seconds=1)
    settings = make_settings(fetch_pictures=True)
    built = Built(make_parts(Transactor(engine, SystemClock()), settings=settings))
    found = [
        f"{name} {kind} {each}"
        for name, made in built.slices.items()
        for kind, names in (
            ("handler", [f"{event}: {handler}" for event, handler, _ in made.handlers]),
            ("job", made.jobs),
            ("outside job", made.outside_jobs),
            ("sweep", [sweep.unit for sweep in made.sweeps]),
            ("start", _named(made.starts)),
            ("task", _named(made.tasks)),
            ("background", _named(made.background)),
            ("closer", _named(made.closers)),
        )
        for each in names
    ]
    built.close()
    await engine.dispose()
    assert sorted(found) == sorted(EXPECTED.strip().splitlines())
