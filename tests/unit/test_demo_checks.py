"""What the demo checks must fail when it is broken: catalogs, watches, outcomes, and the lines it prints."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from google.protobuf import timestamp_pb2
from marketd.cli import application
from marketd.demo.addresses import reachable
from marketd.demo.catalogs import differences, read_products
from marketd.demo.play import Played
from marketd.demo.presentation import PlainScreen, screen_for
from marketd.demo.records import CheckFailed, StepRecord, Summary
from marketd.demo.seed import by_vendor
from marketd.demo.watches import WatchDelivery, check_positions, delivery_states
from marketplace.delivery.v1 import delivery_pb2
from marketplace.tracking.v1 import position_pb2, watch_pb2
from marketplace_client import Outcome
from rich.console import Console
from typer.testing import CliRunner

HEADER = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,"
    "Variant Inventory Qty,Variant Price,Variant Compare At Price,Image Src\n"
)
FILE = (
    HEADER
    + 'mug,"Mug, big",,Acme,Kitchen,"blue, big",true,Color,Blue,,3,12.5,,https://x/1.jpg\n'
    + "mug,,,,,,,,Red,,0,13,15,\n"
    + "mug,,,,,,,,,,,,,https://x/2.jpg\n"
    + "soap,Soap,,Suds,,,false,Title,Default Title,S1,7,2,,\n"
).encode()


def test_the_file_is_read_as_shopify_means_it() -> None:
    products = read_products(b"\xef\xbb\xbf" + FILE.replace(b"\n", b"\r\n"))
    mug, soap = products["mug"], products["soap"]
    assert (mug.title, mug.brand, mug.category) == ("Mug, big", "acme", "kitchen")
    assert mug.tags == frozenset({"blue", "big"})
    assert mug.image_count == 2
    facts = [(each.options, each.price_minor, each.compare_at_minor, each.quantity) for each in mug.variants]
    assert facts == [((("Color", "Blue"),), 1250, None, 3), ((("Color", "Red"),), 1300, 1500, 0)]
    assert soap.option_names == ()
    assert soap.variants[0].options == ()
    assert not soap.is_published


def test_what_is_equal_has_no_differences_and_each_lack_is_named() -> None:
    products = read_products(FILE)
    found = list(products.values())
    assert differences(products, found) == []
    cheaper = replace(found[0].variants[0], price_minor=1)
    broken = [replace(found[0], variants=(cheaper, found[0].variants[1]))]
    lacks = differences(products, broken)
    assert any("mug: variant" in lack and "missing" in lack for lack in lacks)
    assert "soap: the product is missing" in lacks


def test_a_vendor_gets_all_rows_of_its_products() -> None:
    files = by_vendor(FILE)
    assert set(files) == {"Acme", "Suds"}
    assert read_products(files["Acme"])["mug"] == read_products(FILE)["mug"]


def change(before: str, after: str) -> WatchDelivery:
    """A change of state as a watcher is told."""
    return WatchDelivery(
        state_change=watch_pb2.StateChange(
            previous_state=delivery_pb2.DeliveryState.Value(f"DELIVERY_STATE_{before}"),
            state=delivery_pb2.DeliveryState.Value(f"DELIVERY_STATE_{after}"),
        )
    )


def snapshot(state: str) -> WatchDelivery:
    """How the delivery is."""
    value = delivery_pb2.DeliveryState.Value(f"DELIVERY_STATE_{state}")
    return WatchDelivery(snapshot=watch_pb2.TrackingSnapshot(state=value))


def position(second: int) -> WatchDelivery:
    """Where the courier was at that second."""
    time = timestamp_pb2.Timestamp()
    time.FromDatetime(datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC))
    return WatchDelivery(position=watch_pb2.LivePosition(sample_time=time))


def test_a_watch_that_skips_a_state_is_found_out() -> None:
    with pytest.raises(CheckFailed, match="does not follow"):
        delivery_states([snapshot("CREATED"), change("ASSIGNED", "PICKED_UP")])


def test_a_stream_that_was_resumed_may_show_a_second_snapshot() -> None:
    riding = [snapshot("ASSIGNED"), change("ASSIGNED", "PICKED_UP"), snapshot("PICKED_UP")]
    names = [delivery_pb2.DeliveryState.Name(state) for state in delivery_states(riding)]
    assert names == ["DELIVERY_STATE_ASSIGNED", "DELIVERY_STATE_PICKED_UP"]
    with pytest.raises(CheckFailed, match="does not follow"):
        delivery_states([*riding[:1], snapshot("PICKED_UP"), change("PICKED_UP", "CLOSED")])


def test_positions_that_go_back_or_come_at_the_wrong_time_are_found_out() -> None:
    riding = [snapshot("ASSIGNED"), change("ASSIGNED", "PICKED_UP")]
    assert check_positions([*riding, position(1), position(1), position(5)]) == 3
    with pytest.raises(CheckFailed, match="came after"):
        check_positions([*riding, position(5), position(4)])
    with pytest.raises(CheckFailed, match="was shown in"):
        check_positions([snapshot("ASSIGNED"), position(5)])
    with pytest.raises(CheckFailed, match="was shown in"):
        check_positions([*riding, change("PICKED_UP", "CLOSED"), position(5)])


def test_a_position_without_an_outcome_or_with_two_is_found_out() -> None:
    played = Played(sent=2)
    played.note(Outcome(1, None))
    with pytest.raises(CheckFailed, match="never acknowledged"):
        played.check()
    played.note(Outcome(2, position_pb2.REJECTION_REASON_TIME_TOO_OLD))
    played.check()
    assert (played.stored, played.rejected, played.reasons()) == (1, 1, {"TIME_TOO_OLD": 1})
    played.note(Outcome(2, None))
    with pytest.raises(CheckFailed, match="more than once"):
        played.check()


class Counted(Outcome):
    """An outcome that counts how often somebody looks at it."""

    looks = 0

    @property
    def is_stored(self) -> bool:
        """As it is, and counted."""
        Counted.looks += 1
        return super().is_stored


def test_the_books_of_a_long_ride_are_not_read_anew_at_every_position() -> None:
    played, count = Played(sent=1_000), 1_000
    for seq in range(1, count + 1):
        played.note(Counted(seq, None if seq % 10 else position_pb2.REJECTION_REASON_TIME_TOO_OLD))
        assert (played.stored, played.rejected) == (seq - seq // 10, seq // 10)
    played.check()
    assert Counted.looks <= 3 * count
    played.note(Outcome(7, position_pb2.REJECTION_REASON_TIME_TOO_OLD))
    assert (played.stored, played.rejected) == (899, 101)


RECORD = StepRecord("track", "The courier rides", True, 1.25, {"sent": 3, "reasons": {"TIME_TOO_OLD": 1}})
SUMMARY = Summary(True, 2.0, 1, 3, 2, 1, {"position": 2})


def test_machines_get_one_line_a_step_and_the_summary_last() -> None:
    out = io.StringIO()
    screen = screen_for(Console(file=out), as_json=True)
    screen.begin("track", "The courier rides")
    screen.finish(RECORD)
    screen.close(SUMMARY)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines[0] == {
        "step": "track",
        "ok": True,
        "seconds": 1.25,
        "detail": {"sent": 3, "reasons": {"TIME_TOO_OLD": 1}},
    }
    assert lines[1] == {
        "step": "summary",
        "ok": True,
        "seconds": 2.0,
        "positions_sent": 3,
        "positions_stored": 2,
        "positions_rejected": 1,
        "watch_events": {"position": 2},
    }


def test_a_pipe_gets_plain_lines_and_a_terminal_a_live_view() -> None:
    out = io.StringIO()
    screen = screen_for(Console(file=out), as_json=False)
    assert isinstance(screen, PlainScreen)
    screen.finish(RECORD)
    screen.finish(replace(RECORD, detail={"notes": ["6 left out", "2 made"], "states": ["PAID", "READY"]}))
    screen.close(SUMMARY)
    assert "The courier rides" in out.getvalue()
    assert "notes 6 left out; 2 made" in out.getvalue()
    assert "states PAID → READY" in out.getvalue()
    assert "Every step held" in out.getvalue()

    terminal = io.StringIO()
    live = screen_for(Console(file=terminal, force_terminal=True, width=100), as_json=False)
    live.begin("track", "The courier rides")
    live.finish(RECORD)
    live.close(SUMMARY)
    assert "✔" in terminal.getvalue()


def test_what_is_not_acknowledged_yet_is_told_from_what_is_lost() -> None:
    out = io.StringIO()
    screen = screen_for(Console(file=out), as_json=False)
    screen.close(replace(SUMMARY, ok=False, positions_sent=10, positions_stored=2))
    screen.finish(replace(RECORD, detail={}))
    assert "The story stopped (1 step, 2.0 s): 10 positions sent, 2 stored, 1 rejected, 7 not acknow" in out.getvalue()
    assert out.getvalue().endswith("The courier rides\n")


def test_a_live_view_that_is_told_to_stand_still_gives_the_cursor_back_and_draws_no_more() -> None:
    terminal = io.StringIO()
    live = screen_for(Console(file=terminal, force_terminal=True, width=100), as_json=False)
    live.begin("track", "The courier rides")
    live.still("Stopping: open rides are brought to their end")
    shown = terminal.getvalue()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    live.begin("wind_up", "Nobody is left on the road")
    live.finish(RECORD)
    live.close(SUMMARY)
    assert "\x1b[?25l" not in terminal.getvalue()[len(shown) :]
    assert "Stopping" in shown


@pytest.mark.parametrize(
    ("listens", "found"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50051"),
        ("0.0.0.0:50051", "127.0.0.1:50051"),
        (":::50051", "[::1]:50051"),
        ("::1:50051", "[::1]:50051"),
        ("[fd00::7]:50051", "[fd00::7]:50051"),
        ("shop.example:443", "shop.example:443"),
    ],
)
def test_the_guide_names_an_address_at_which_the_server_is_found(listens: str, found: str) -> None:
    assert reachable(listens) == found


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--trace", "nowhere.gpx"], "--trace nowhere.gpx is no file."),
        (["--products", "nowhere.csv"], "--products nowhere.csv is no file."),
        (["--tls", "--plaintext"], "--plaintext and --tls contradict each other"),
        (["--target", "127.0.0.1:70000"], "--target 127.0.0.1:70000: ports go from 1 to 65535"),
        (["--target", "127.0.0.1"], "--target 127.0.0.1 is no HOST:PORT"),
        (["--target", "shop.example.com:443"], "use --tls or --ca"),
        (["--watch", "--json"], "give one of them"),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_refused_in_one_line(arguments: list[str], says: str) -> None:
    ran = CliRunner().invoke(application(["demo"]), ["demo", *arguments])
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert says in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_what_is_said_beside_the_steps_does_not_stand_among_the_lines_of_a_machine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = io.StringIO()
    screen = screen_for(Console(file=out), as_json=True)
    screen.say("Nothing is sold here yet")
    screen.still("Stopping")
    assert out.getvalue() == ""
    assert capsys.readouterr().err == "Nothing is sold here yet\nStopping\n"
