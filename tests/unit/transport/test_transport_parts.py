"""The parts of the edge by themselves: buckets, kept answers, statuses, addresses, tokens in headers."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as PackedAny
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import FieldViolation, Overloaded, PreconditionViolation, Refusal, ValidationFailed
from marketd.transport.addresses import forwarded_address, peer_address
from marketd.transport.authentication import bearer
from marketd.transport.edge.answers import AnswerCache
from marketd.transport.edge.rates import LocalRates
from marketd.transport.errors import MAX_DETAILS_BYTES, STATUS_CODES, status_of
from marketd.transport.refusals import BearerTokenInvalid
from marketd.transport.rules import RateClass


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestRates:
    def test_a_burst_passes_and_then_one_call_an_interval(self) -> None:
        time = Time()
        rates = LocalRates({RateClass.READ: (10.0, 5)}, monotonic=time)
        assert [rates.take(RateClass.READ, "a") for _ in range(5)] == [0.0] * 5
        assert rates.take(RateClass.READ, "a") == pytest.approx(0.1)
        assert rates.take(RateClass.READ, "a") == pytest.approx(0.1), "a refused call takes nothing"
        time.now += 0.1
        assert rates.take(RateClass.READ, "a") == 0.0
        assert rates.take(RateClass.READ, "a") > 0.0

    def test_a_bucket_never_holds_more_than_its_burst(self) -> None:
        time = Time()
        rates = LocalRates({RateClass.READ: (10.0, 5)}, monotonic=time)
        rates.take(RateClass.READ, "a")
        time.now += 1000
        assert sum(rates.take(RateClass.READ, "a") == 0.0 for _ in range(50)) == 5

    def test_callers_and_classes_have_buckets_of_their_own(self) -> None:
        rates = LocalRates({RateClass.READ: (1.0, 1), RateClass.WRITE: (1.0, 1)}, monotonic=Time())
        assert rates.take(RateClass.READ, "a") == 0.0
        assert rates.take(RateClass.READ, "b") == 0.0
        assert rates.take(RateClass.WRITE, "a") == 0.0
        assert rates.take(RateClass.READ, "a") > 0.0

    def test_a_class_without_limit_is_not_counted(self) -> None:
        rates = LocalRates({})
        assert all(rates.take(RateClass.LOGIN, "a") == 0.0 for _ in range(1000))
        assert len(rates) == 0

    def test_memory_is_bounded_and_those_who_call_now_are_remembered(self) -> None:
        rates = LocalRates({RateClass.LOGIN: (0.001, 1)}, max_buckets=100, monotonic=Time())
        for number in range(10_000):
            rates.take(RateClass.LOGIN, "brute")
            rates.take(RateClass.LOGIN, number)
            assert len(rates) <= 100
        assert rates.take(RateClass.LOGIN, "brute") > 0.0

    @pytest.mark.parametrize("limit", [(0.0, 5), (-1.0, 5), (1.0, 0)])
    def test_limits_that_would_let_nothing_through_are_refused(self, limit: tuple[float, float]) -> None:
        with pytest.raises(ValueError, match="READ"):
            LocalRates({RateClass.READ: limit})


class TestAnswers:
    def test_an_answer_computed_across_a_drop_is_not_kept(self) -> None:
        answers = AnswerCache()
        before = answers.now()
        answers.drop("product:1")
        answers.keep("/m", b"q", b"old", "product:1", before)
        answers.keep("/m", b"other", b"kept", "product:2", before)
        assert answers.get("/m", b"q") is None
        assert answers.get("/m", b"other") == b"kept"

    def test_that_also_holds_when_the_drop_was_long_ago_forgotten(self) -> None:
        answers = AnswerCache()
        before = answers.now()
        for number in range(5000):
            answers.drop(f"product:{number}")
        answers.keep("/m", b"q", b"old", "product:0", before)
        assert answers.get("/m", b"q") is None
        answers.keep("/m", b"q", b"new", "product:0", answers.now())
        assert answers.get("/m", b"q") == b"new"

    def test_nor_is_one_that_was_computed_while_everything_was_forgotten(self) -> None:
        answers = AnswerCache()
        before = answers.now()
        answers.clear()
        answers.keep("/m", b"q", b"old", "product:0", before)
        assert answers.get("/m", b"q") is None

    def test_dropping_a_tag_drops_all_its_answers_and_no_other(self) -> None:
        answers = AnswerCache()
        for number in range(10):
            answers.keep("/m", b"%d" % number, b"a", f"tag:{number % 2}", answers.now())
        answers.drop("tag:0")
        assert [answers.get("/m", b"%d" % number) for number in range(4)] == [None, b"a", None, b"a"]
        answers.clear()
        assert len(answers) == 0

    def test_entries_and_bytes_are_bounded(self) -> None:
        few = AnswerCache(max_entries=3)
        for number in range(10):
            few.keep("/m", b"%d" % number, b"a", "tag", few.now())
        assert len(few) == 3
        assert few.get("/m", b"9") == b"a"
        small = AnswerCache(max_bytes=100_000)
        for number in range(100):
            small.keep("/m", b"%d" % number, bytes(5000), "tag", small.now())
        assert 0 < len(small) < 20
        small.keep("/m", b"huge", bytes(50_000), "tag", small.now())
        assert small.get("/m", b"huge") is None

    def test_an_answer_older_than_its_time_is_gone(self) -> None:
        answers = AnswerCache(ttl_seconds=0.0)
        answers.keep("/m", b"q", b"a", "tag", answers.now())
        assert answers.get("/m", b"q") is None
        with pytest.raises(ValueError, match="one second"):
            AnswerCache(ttl_seconds=1.5)

    def test_an_answer_is_kept_for_a_second_and_the_oldest_goes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        time = Time()
        monkeypatch.setattr("marketd.transport.edge.answers.time.monotonic", time)
        answers = AnswerCache(max_entries=2)
        for name in (b"first", b"second"):
            answers.keep("/m", name, b"a", "tag", answers.now())
            time.now += 0.5
        assert (answers.get("/m", b"first"), answers.get("/m", b"second")) == (b"a", b"a")
        time.now += 0.01
        assert (answers.get("/m", b"first"), answers.get("/m", b"second")) == (None, b"a")
        assert len(answers) == 1
        time.now += 0.5
        assert answers.get("/m", b"second") is None
        for name in (b"1", b"2", b"3"):
            answers.keep("/m", name, b"a", "tag", answers.now())
        assert [answers.get("/m", name) for name in (b"1", b"2", b"3")] == [None, b"a", b"a"]
        assert answers.get("/other", b"3") is None


class Everything(Refusal):
    """A refusal with every part filled, as large as a slice could make it."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.INSUFFICIENT_STOCK

    def __init__(self, size: int) -> None:
        super().__init__(
            "ж" * size,
            metadata={f"key{number}": "я" * size for number in range(size)},
            fields=[FieldViolation("f" * size, "ü" * size) for _ in range(size)],
            preconditions=[PreconditionViolation("STOCK", "s" * size, "é" * size) for _ in range(size)],
            retry_after_seconds=1.5,
        )


class TestStatuses:
    @pytest.mark.parametrize("size", [1, 5, 20, 200, 5000])
    def test_a_status_is_capped_and_keeps_its_reason_and_delay(self, size: int) -> None:
        status = status_of(Everything(size))
        assert status.ByteSize() <= MAX_DETAILS_BYTES
        assert len(status.message.encode()) <= 1024
        kinds = [packed.type_url.rpartition(".")[2] for packed in status.details]
        assert kinds.count("ErrorInfo") == kinds.count("RetryInfo") == 1

    def test_a_small_one_has_every_part(self) -> None:
        status = status_of(Everything(2))
        kinds = [packed.type_url.rpartition(".")[2] for packed in status.details]
        assert kinds == ["ErrorInfo", "BadRequest", "PreconditionFailure", "RetryInfo", "LocalizedMessage"]
        assert _unpacked(status.details[4], error_details_pb2.LocalizedMessage()).locale == "en"
        assert _unpacked(status.details[3], error_details_pb2.RetryInfo()).retry_delay.ToMilliseconds() == 1500

    def test_what_does_not_apply_is_left_out(self) -> None:
        kinds = [packed.type_url.rpartition(".")[2] for packed in status_of(Overloaded()).details]
        assert kinds == ["ErrorInfo", "RetryInfo", "LocalizedMessage"]

    @pytest.mark.parametrize(("count", "said"), [(1, ""), (20, ""), (21, " (1 more are not listed)")])
    def test_of_many_violations_the_first_are_named_and_the_rest_counted(self, count: int, said: str) -> None:
        violations = [FieldViolation(f"lines[{number}]", "must be given") for number in range(count)]
        status = status_of(ValidationFailed(*violations))
        named = _unpacked(status.details[1], error_details_pb2.BadRequest()).field_violations
        assert [one.field for one in named] == [f"lines[{number}]" for number in range(min(count, 20))]
        assert status.message == f"lines[0]: must be given{said}"
        assert _unpacked(status.details[2], error_details_pb2.LocalizedMessage()).message == status.message

    def test_what_there_is_no_room_for_is_counted_as_well(self) -> None:
        status = status_of(ValidationFailed(*[FieldViolation("f" * 250, "d" * 250) for _ in range(30)]))
        named = _unpacked(status.details[1], error_details_pb2.BadRequest()).field_violations
        assert 0 < len(named) < 20
        assert status.message.endswith(f" ({30 - len(named)} more are not listed)")

    def test_every_code_has_its_status(self) -> None:
        assert {code.value for code in Code} == {STATUS_CODES[code].name for code in Code}


def _unpacked(packed: PackedAny, into: Any) -> Any:
    packed.Unpack(into)
    return into


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:4711", "10.0.0.1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("ipv6:%5B2001:db8::7%5D:1", "2001:db8::7"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:4711", "192.0.2.7"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", "fe80::1"),
        ("unix:", "unix:"),
    ],
)
def test_the_address_is_taken_from_the_peer(peer: str, address: str) -> None:
    assert peer_address(peer) == address


@pytest.mark.parametrize(
    ("header", "hops", "address"),
    [
        ("1.1.1.1", 1, "1.1.1.1"),
        ("forged, 1.1.1.1", 1, "1.1.1.1"),
        ("forged,2.2.2.2,1.1.1.1", 2, "2.2.2.2"),
        ("1.1.1.1", 3, "1.1.1.1"),
        ("1.1.1.1:443", 1, "1.1.1.1"),
        ("2001:db8::7", 1, "2001:db8::7"),
        ("2001:0DB8:0:0:0:0:0:7", 1, "2001:db8::7"),
        ("[2001:db8::7]", 1, "2001:db8::7"),
        ("[2001:db8::7]:443", 1, "2001:db8::7"),
        ("::ffff:192.0.2.7", 1, "192.0.2.7"),
        ("[::ffff:192.0.2.7]:443", 1, "192.0.2.7"),
        ("forged,, 1.1.1.1 ", 1, "1.1.1.1"),
        ("x" * 12_000 + ",1.1.1.1", 1, "1.1.1.1"),
        ("1.1.1.1, 2.2.2.2", 2, "1.1.1.1"),
    ],
)
def test_the_address_that_a_trusted_proxy_saw_has_one_spelling_and_what_stands_left_of_it_is_not_read(
    header: str, hops: int, address: str
) -> None:
    assert forwarded_address(header, hops) == address


@pytest.mark.parametrize(
    "junk",
    [
        "",
        " ",
        "unknown",
        "_hidden",
        "x" * 500,
        "1.1.1",
        "1.1.1.1:",
        "1.1.1.1:http",
        "1.1.1.1:99999",
        "1.1.1.1:8080:1",
        "[2001:db8::7",
        "[2001:db8::7]443",
        "[1.1.1.1",
        "1.1.1.1, ",
        "1.1.1.1, junk",
    ],
)
def test_what_is_no_address_is_not_taken_for_one(junk: str) -> None:
    assert forwarded_address(junk, 1) is None


def test_a_bearer_token_is_taken_in_any_case_of_the_scheme() -> None:
    assert bearer("Bearer abc") == bearer("bearer abc") == bearer("BEARER abc") == "abc"
    for header in ("", "abc", "Bearer", "Bearer ", "Basic abc", "Bearer " + "x" * 9000):
        says = "not valid" if len(header) > 9000 else "send 'authorization: Bearer <access token>'"
        with pytest.raises(BearerTokenInvalid, match=says):
            bearer(header)
