"""When a shop is open, by its own clock: each week, and otherwise on certain days. Pure.

What a clock on the wall shows decides: in the hour that it skips a shop opens when the clock jumps past the opening,
and in the hour that it shows twice a shop is open twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.seller.values import OpeningException, OpeningHours, OpeningSpan, Seller

LOOK_AHEAD: Final = timedelta(days=366)
"""How far next_open looks: the longest year."""

_DAY: Final = 24 * 60
_WEEK: Final = 7 * _DAY
_ALWAYS: Final = (0, _DAY)
_AROUND: Final = timedelta(hours=3)

Span: TypeAlias = tuple[int, int]
"""Minutes since the midnight on which it begins; the end is not in it and may lie in the next day."""


def next_open(seller: Seller, now: datetime) -> datetime | None:
    """When the shop is open: `now` when it is, else the next instant in UTC at which it opens within a year.

    None when it opens at none.
    """
    if not seller.opening_hours and not seller.opening_exceptions:
        return now
    calendar = _Calendar(seller)
    if calendar.is_open(now):
        return now
    today = now.astimezone(calendar.zone).date()
    found: datetime | None = None
    for ahead in range(LOOK_AHEAD.days + 1):
        opens = [
            instant
            for instant in calendar.changes(today + timedelta(days=ahead))
            if now < instant <= now + LOOK_AHEAD and calendar.is_open(instant)
        ]
        # Where a clock goes back over midnight, the day before goes on after the first hour of the next.
        if found is not None:
            return min([found, *opens])
        found = min(opens, default=None)
    return found


def check_opening(hours: Sequence[OpeningHours], exceptions: Sequence[OpeningException], field: str) -> None:
    """Refuse what cannot be meant; `field` names the resource.

    Raises ValidationFailed for spans that overlap, each week or on a day, and for a date that comes twice.
    """
    wrong = [
        FieldViolation(f"{field}.opening_hours[{later}]", f"overlaps with opening_hours[{sooner}]; make one of the two")
        for sooner, later in _weekly_overlaps(hours)
    ]
    dates: dict[date, int] = {}
    for place, exception in enumerate(exceptions):
        path = f"{field}.opening_exceptions[{place}]"
        if exception.date in dates:
            wrong.append(FieldViolation(f"{path}.date", "another exception has this date; make one of the two"))
        dates.setdefault(exception.date, place)
        wrong += [
            FieldViolation(f"{path}.spans[{later}]", f"overlaps with spans[{sooner}]; make one of the two")
            for sooner, later in _overlaps([_minutes(span) for span in exception.spans])
        ]
    if wrong:
        raise ValidationFailed(*wrong)


def _minutes(span: OpeningHours | OpeningSpan) -> Span:
    begin = span.open_time.hours * 60 + span.open_time.minutes
    end = span.close_time.hours * 60 + span.close_time.minutes
    return begin, end if end > begin else end + _DAY


def _weekly_overlaps(hours: Sequence[OpeningHours]) -> Iterator[tuple[int, int]]:
    spans = [_minutes(span) for span in hours]
    offsets = [(span.day - 1) * _DAY for span in hours]
    week = [(begin + offset, end + offset) for (begin, end), offset in zip(spans, offsets, strict=True)]
    # Monday comes after Sunday as well.
    after = [(begin + _WEEK, end + _WEEK) for begin, end in week]
    for later, span in enumerate(week):
        for sooner in range(later):
            if _meet(week[sooner], span) or _meet(after[sooner], span) or _meet(week[sooner], after[later]):
                yield sooner, later


def _overlaps(spans: Sequence[Span]) -> Iterator[tuple[int, int]]:
    for later, span in enumerate(spans):
        for sooner in range(later):
            if _meet(spans[sooner], span):
                yield sooner, later


def _meet(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


class _Calendar:
    """The spans of a shop by day."""

    def __init__(self, seller: Seller) -> None:
        self.zone = ZoneInfo(seller.time_zone)
        self._weekly: dict[int, list[Span]] = {day: [] for day in range(1, 8)}
        for span in seller.opening_hours:
            self._weekly[span.day].append(_minutes(span))
        if not seller.opening_hours:
            self._weekly = {day: [_ALWAYS] for day in range(1, 8)}
        self._exceptions: Mapping[date, list[Span]] = {
            exception.date: [_minutes(span) for span in exception.spans] for exception in seller.opening_exceptions
        }

    def is_open(self, instant: datetime) -> bool:
        """Whether the shop's clock shows a time within a span of that day, or of the one before."""
        wall = instant.astimezone(self.zone)
        minute = wall.hour * 60 + wall.minute
        return self._covers(wall.date(), minute) or self._covers(wall.date() - timedelta(days=1), minute + _DAY)

    def changes(self, day: date) -> Iterator[datetime]:
        """The instants of the day at which the shop may open: where a span begins, and where the clock is set."""
        if not self._spans(day) and not self._spans(day - timedelta(days=1)):
            return  # a year of holidays is looked through in a moment
        for begin, _ in self._spans(day):
            wall = datetime.combine(day, time(begin // 60, begin % 60), self.zone)
            yield wall.astimezone(UTC)
            yield wall.replace(fold=1).astimezone(UTC)
        # Midnight itself may be skipped or come twice, so the day is taken with a few hours around it.
        begins = datetime.combine(day, time(), self.zone).astimezone(UTC) - _AROUND
        ends = datetime.combine(day + timedelta(days=1), time(), self.zone).astimezone(UTC) + _AROUND
        if self._offset(begins) != self._offset(ends):
            yield self._clock_change(begins, ends)

    def _covers(self, day: date, minute: int) -> bool:
        return any(begin <= minute < end for begin, end in self._spans(day))

    def _spans(self, day: date) -> Sequence[Span]:
        special = self._exceptions.get(day)
        return self._weekly[day.isoweekday()] if special is None else special

    def _offset(self, instant: datetime) -> timedelta | None:
        return instant.astimezone(self.zone).utcoffset()

    def _clock_change(self, before: datetime, after: datetime) -> datetime:
        """The first instant with the offset of `after`: clocks are set at whole minutes."""
        low, high, changed = 0, int((after - before).total_seconds()) // 60, self._offset(after)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(before + timedelta(minutes=middle)) == changed:
                high = middle
            else:
                low = middle
        return before + timedelta(minutes=high)
