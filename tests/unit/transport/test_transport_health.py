"""What watchers of health are told."""

from __future__ import annotations

from marketd.transport.health import Health


async def test_a_watcher_hears_of_the_drain_that_came_while_it_was_told_something_else() -> None:
    health = Health(["marketplace.cart.v1.CartService"])
    health.set_serving()
    watch = health.watch("")
    assert await anext(watch) is True  # being written: the generator stands at its yield
    health.drain()
    assert [state async for state in watch] == [False]


async def test_changes_that_came_while_a_watcher_was_told_are_told_once_as_the_newest_state() -> None:
    health = Health([])
    health.set_serving()
    watch = health.watch("")
    assert await anext(watch) is True
    health.set_not_serving()
    health.set_serving()
    health.drain()
    health.set_serving()  # without effect: the drain is for good
    assert [state async for state in watch] == [False]


async def test_a_watcher_of_a_draining_server_hears_so_and_ends() -> None:
    health = Health([])
    health.drain()
    assert [state async for state in health.watch("")] == [False]
    assert [state async for state in health.watch("unknown")] == [None]
