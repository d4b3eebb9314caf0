"""Lines of the gRPC core: what they are taken apart into, and how many of a kind are passed on."""

from __future__ import annotations

import pytest
from marketd.process.supervision.grpc_lines import (
    LINES_OF_A_KIND,
    OTHER,
    OTHER_LINES,
    WINDOW_SECONDS,
    GrpcLine,
    Throttle,
    parse,
)

ERROR = GrpcLine("error", "chttp2_transport.cc:123", "odd")


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        (
            b"E0000 00:00:1782912345.123456   4711 chttp2_transport.cc:123] ipv4:1.2.3.4:5 is odd",
            GrpcLine("error", "chttp2_transport.cc:123", "ipv4:1.2.3.4:5 is odd"),
        ),
        (b"I0701 10:11:12.123456 1 src/core/log.cc:7] ", GrpcLine("info", "src/core/log.cc:7", "")),
        (b"W0000 00:00:1.1 1 log.cc:102] a] b", GrpcLine("warning", "log.cc:102", "a] b")),
        (b"F0000 00:00:1.1 1 sync.cc:9] Check failed", GrpcLine("fatal", "sync.cc:9", "Check failed")),
        (b"WARNING: All log messages before", GrpcLine(OTHER, "", "WARNING: All log messages before")),
        (b"E0000 not a line of the core", GrpcLine(OTHER, "", "E0000 not a line of the core")),
        (b"\x1b[31mred\x07\r\xff\xe2\x80\xae", GrpcLine(OTHER, "", "\\x1b[31mred\\x07\\r\\xff\\u202e")),
    ],
)
def test_a_line_is_taken_apart_and_does_nothing_to_a_terminal(line: bytes, parsed: GrpcLine) -> None:
    assert parse(line) == parsed


def test_a_line_is_cut() -> None:
    assert len(parse(b"x" * 100_000).text) == 1_000


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_lines_of_a_place_pass_in_a_minute_and_the_others_are_counted() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    assert [throttle.passes(ERROR) for _ in range(LINES_OF_A_KIND + 30)].count(True) == LINES_OF_A_KIND
    assert throttle.passes(GrpcLine("error", "chttp2_transport.cc:124", "another place")), "each place by itself"
    assert list(throttle.ended()) == []
    assert throttle.next_end_seconds() == WINDOW_SECONDS
    clock.now += WINDOW_SECONDS
    assert list(throttle.ended()) == [(ERROR.place, 30)]
    assert list(throttle.ended()) == []
    assert throttle.next_end_seconds() is None
    assert throttle.passes(ERROR)


def test_at_the_end_every_count_is_told() -> None:
    throttle = Throttle(Clock())
    for _ in range(LINES_OF_A_KIND + 1):
        throttle.passes(ERROR)
    assert list(throttle.ended(close=True)) == [(ERROR.place, 1)]


def test_lines_that_are_not_the_cores_are_throttled_together() -> None:
    throttle = Throttle(Clock())
    assert sum(throttle.passes(GrpcLine(OTHER, "", str(number))) for number in range(1_000)) == OTHER_LINES


def test_made_up_places_do_not_pass_without_end() -> None:
    throttle = Throttle(Clock())
    passed = sum(throttle.passes(GrpcLine("error", f"made.cc:{number}", "up")) for number in range(10_000))
    assert passed <= 200 + OTHER_LINES
