"""The bookkeeping of numbers: what is acknowledged when, and what is told of rejections."""

from __future__ import annotations

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st
from marketd.tracking.uplink.acks import Acks, Uplink
from marketd.tracking.uplink.density import Density


def uplink(settled: int = 0) -> Uplink:
    return Uplink(uuid4(), uuid4(), Density(5.0), settled)


def test_numbers_that_were_never_received_do_not_hold_the_acknowledgement_back() -> None:
    up = uplink()
    for seq in (1, 2, 9):
        up.admit(seq)
    up.settle([1, 2, 9], [])
    assert up.acked_seq == 9


def test_a_number_that_waits_for_its_commit_holds_the_acknowledgement_back() -> None:
    up = uplink()
    for seq in (1, 2, 3, 4):
        up.admit(seq)
    up.settle([1, 3, 4], [])
    assert up.acked_seq == 1
    up.settle([2], [])
    assert up.acked_seq == 4


def test_a_number_that_waits_already_is_a_duplicate() -> None:
    up = uplink()
    assert up.admit(1)
    assert not up.admit(1)


def test_what_was_given_up_is_not_acknowledged() -> None:
    up = uplink()
    for seq in (1, 2):
        up.admit(seq)
    up.settle([1], [])
    up.fail([2], RuntimeError())
    assert up.acked_seq == 1


def test_acknowledgements_never_go_back_when_a_lower_number_comes_late() -> None:
    up = uplink(10)
    acks = Acks(up, 10)
    up.admit(5)
    assert not acks.is_due
    up.settle([5], [])
    assert not acks.is_due
    assert acks.take() == (10, [])


def test_a_rejection_is_told_once_on_a_stream() -> None:
    up = uplink()
    acks = Acks(up, 0)
    up.admit(1)
    up.settle([1], [(1, 3)])
    acks.reject(1, 3)
    assert acks.take() == (1, [(1, 3)])
    acks.reject_again(1, 3)
    assert not acks.is_due


def test_a_duplicate_of_a_rejected_position_is_told_while_it_is_not_acknowledged_on_this_stream() -> None:
    up = uplink(7)
    acks = Acks(up, 4)
    acks.reject_again(3, 2)
    acks.reject_again(6, 2)
    assert acks.take() == (7, [(6, 2)])


def test_many_rejections_come_in_several_acknowledgements_that_do_not_run_ahead_of_them() -> None:
    up = uplink(9)
    acks = Acks(up, 0, [(seq, 1) for seq in range(1, 10)])
    assert acks.take(limit=4) == (4, [(seq, 1) for seq in range(1, 5)])
    assert acks.is_due
    assert acks.take(limit=4) == (8, [(seq, 1) for seq in range(5, 9)])
    assert acks.take(limit=4) == (9, [(9, 1)])
    assert not acks.is_due


def test_nothing_above_what_is_known_of_earlier_rejections_is_acknowledged() -> None:
    acks = Acks(uplink(9), 0)
    acks.read([(2, 1), (4, 1)], 4)
    states = [acks.reads_on]
    assert acks.take() == (4, [(2, 1), (4, 1)])
    states.append(acks.reads_on)
    acks.read([(5, 1)], None)
    assert acks.take() == (9, [(5, 1)])
    assert [*states, acks.reads_on] == [False, True, False]


def test_rejections_that_were_told_above_a_number_that_waits_count_as_untold() -> None:
    up = uplink()
    acks = Acks(up, 0)
    for seq in (1, 2):
        up.admit(seq)
    up.settle([2], [(2, 1)])
    acks.reject(2, 1)
    assert acks.take() == (0, [(2, 1)])
    assert acks.untold == 1
    up.settle([1], [])
    assert acks.take() == (2, [])
    assert acks.untold == 0


@given(st.data())
def test_whatever_the_order_nothing_unsettled_is_acknowledged_and_in_the_end_all_is(data: st.DataObject) -> None:
    up = uplink()
    acks = Acks(up, 0)
    received: set[int] = set()
    settled: set[int] = set()
    last = 0
    told: list[int] = []
    for _ in range(data.draw(st.integers(1, 30))):
        for seq in data.draw(st.lists(st.integers(1, 40), max_size=5)):
            if seq not in settled and up.admit(seq):
                received.add(seq)
        batch = data.draw(st.lists(st.sampled_from(sorted(up.pending)), unique=True)) if up.pending else []
        rejected = [(seq, 1) for seq in batch if seq % 3 == 0]
        up.settle(batch, rejected)
        settled.update(batch)
        for seq, reason in rejected:
            acks.reject(seq, reason)
        before = acks.sent_seq
        acked, now_told = acks.take(limit=2)
        told += [seq for seq, _ in now_told]
        assert acked >= last
        # What this acknowledgement newly covers was settled (numbers that come late below it are settled later).
        assert all(seq in settled for seq in received if before < seq <= acked)
        last = acked
    rest = sorted(up.pending)
    up.settle(rest, [(seq, 1) for seq in rest if seq % 3 == 0])
    for seq in rest:
        if seq % 3 == 0:
            acks.reject(seq, 1)
    while acks.is_due:
        acked, now_told = acks.take(limit=2)
        told += [seq for seq, _ in now_told]
    assert up.acked_seq == acks.sent_seq == max(received, default=0)
    assert sorted(told) == sorted(seq for seq in received if seq % 3 == 0)
