"""What `serve --demo` prints is short, and every command of it can be pasted in any folder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from marketd.demo import guide
from marketd.demo.defaults import ADMIN_EMAIL, PASSWORD
from marketd.demo.seed import Login, SeededLogins

from tests.faults.pasting import paste
from tests.worlds.browser import require_chromium, visiting
from tests.worlds.foreign import TOOLS
from tests.worlds.gateway import has_envoy, require_envoy
from tests.worlds.served import DEMO_SHOWN, Served


def banner(server: Served) -> list[str]:
    """What it has printed for a newcomer."""
    first = next(index for index, line in enumerate(server.lines) if line.startswith(("Open http", "Demo logins")))
    last = next(index for index, line in enumerate(server.lines) if DEMO_SHOWN.search(line))
    return server.lines[first : last + 1]


def scripts(lines: list[str]) -> list[str]:
    """The commands, in groups that are pasted into one shell."""
    groups: list[list[str]] = []
    for line in lines:
        if line.startswith("#"):
            groups.append([])
        elif line.startswith(guide.INDENT):
            groups[-1].append(line.strip())
    return ["\n".join(["set -e", *group]) for group in groups]


@pytest.mark.faults
def test_every_command_of_the_banner_succeeds_when_it_is_pasted_in_another_folder(
    with_demo: Served, tmp_path: Path
) -> None:
    lines = banner(with_demo)
    assert len(lines) <= 15, lines
    groups = scripts(lines)
    assert len(groups) == (4 if has_envoy() else 3)
    assert lines[0].startswith(f"Open http://127.0.0.1:{with_demo.gateway_port}/ " if has_envoy() else "Demo logins")
    assert sum("--watch" in group for group in groups) == 1
    assert sum("TOKEN=" in group for group in groups) == 1
    tool = "grpcurl -plaintext" if (TOOLS / "grpcurl").exists() else "buf curl"
    assert sum(group.count(tool) for group in groups) == 3
    with ThreadPoolExecutor(len(groups)) as threads:
        results = list(threads.map(lambda group: paste(group, tmp_path), groups))
    assert [result for result in results if result.code] == []
    texts = " ".join(result.output for result in results)
    assert "Every step held" in texts
    assert "Ctrl-C ends the watch" in texts
    assert '"products"' in texts  # the buyer may have bought nothing yet
    assert '"correctedQuery": "celebration cakes"' in texts


@pytest.mark.faults
def test_without_grpcurl_the_banner_shows_buf_and_its_commands_succeed_too(
    with_demo: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    admin, buyer = Login("admin", "", ADMIN_EMAIL), Login("buyer", "", "buyer1@demo.example.com")
    logins = SeededLogins(admin, PASSWORD, PASSWORD, (), (buyer,), (), buyer, ())
    by_hand = guide.commands(f"127.0.0.1:{with_demo.port}", logins)[-1][1]
    monkeypatch.undo()
    assert sum("buf curl" in command for command in by_hand) == 3
    result = paste("\n".join(["set -e", *by_hand]), tmp_path)
    assert (result.code, '"products"' in result.output) == (0, True), result


@pytest.mark.faults
async def test_the_page_of_the_first_line_shows_a_courier_to_whoever_orders(with_demo: Served) -> None:
    require_envoy()
    require_chromium()
    async with visiting(f"http://127.0.0.1:{with_demo.gateway_port}/") as visit:
        page = visit.page
        await page.click("#demo-login button")
        await page.click("#sign-in-now")
        await page.wait_for_selector("#cart[data-pieces]")
        # Something of one variant, so that nothing is asked.
        await page.fill("#query", "oat milk")
        await page.click("#search button")
        await page.wait_for_selector("#found:not(:empty)")
        await page.locator("#goods button").first.click()
        await page.wait_for_selector('#cart[data-pieces="1"]')
        await page.click("#ask-quote")
        await page.click("#place")
        await page.locator("#order-list .pay button").click()
        await page.wait_for_selector("#map[data-positions]", timeout=40_000)
        assert (await visit.story())[-1] == "DELIVERY_PICKED_UP"
        assert await page.is_visible("#goods img"), "the pictures that were hung"
        assert visit.faults == []
