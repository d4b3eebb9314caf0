"""How the story looks: a live view in a terminal, plain lines elsewhere, one JSON line a step for machines."""

from __future__ import annotations

import json
import sys
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from marketd.demo.records import Json, Progress, StepRecord, Summary
from marketd.demo.stage import Screen

_REFRESH_HZ = 8
_SHOWN_DETAILS = 4
_LONGEST_VALUE = 48


def screen_for(console: Console, *, as_json: bool) -> Screen:
    """The screen that fits: JSON lines when asked for, else what the console can do."""
    if as_json:
        return JsonScreen(console.file)
    return LiveScreen(console) if console.is_terminal else PlainScreen(console)


def _brief(record: StepRecord) -> str:
    """The first few values of a step's detail, in one line."""
    if record.error:
        return record.error
    parts = []
    for name, value in record.detail.items():
        if name.endswith("_id") or value in ([], {}, "", None):
            continue
        if isinstance(value, dict):
            text = " ".join(f"{key} {inner}" for key, inner in value.items())
        elif isinstance(value, list | tuple):
            # Only states follow each other; other lists are findings.
            text = (" → " if name == "states" else "; ").join(str(inner) for inner in value)
        else:
            text = str(value)
        parts.append(f"{name.replace('_', ' ')} {text}")
    return " · ".join(part for part in parts[:_SHOWN_DETAILS])


def _closing(summary: Summary) -> str:
    what = "Every step held" if summary.ok else "The story stopped"
    steps = f"{summary.steps} step{'s' * (summary.steps != 1)}"
    # Of a ride that was cut short some are on their way: not lost, but nobody knows yet whether they are stored.
    owed = summary.positions_sent - summary.positions_stored - summary.positions_rejected
    return (
        f"{what} ({steps}, {summary.seconds:.1f} s): {summary.positions_sent} positions sent, "
        f"{summary.positions_stored} stored, {summary.positions_rejected} rejected"
        + (f", {owed} not acknowledged yet" if owed > 0 else "")
        + "; the buyer saw "
        + (", ".join(f"{count} {kind}" for kind, count in summary.watch_events.items()) or "nothing")
    )


class JsonScreen:
    """One line a step, and the summary last."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def begin(self, step: str, title: str) -> None:
        """Nothing: machines read results."""

    def update(self, progress: Progress) -> None:
        """Nothing."""

    def finish(self, record: StepRecord) -> None:
        """The step's line."""
        self._line({"step": record.step, "ok": record.ok, "seconds": record.seconds, "detail": dict(record.detail)})

    def say(self, text: str) -> None:
        """For whoever looks on; every line of the output is a step."""
        sys.stderr.write(f"{text}\n")

    def still(self, text: str) -> None:
        """The same."""
        self.say(text)

    def close(self, summary: Summary) -> None:
        """The summary's line."""
        self._line(
            {
                "step": "summary",
                "ok": summary.ok,
                "seconds": summary.seconds,
                "positions_sent": summary.positions_sent,
                "positions_stored": summary.positions_stored,
                "positions_rejected": summary.positions_rejected,
                "watch_events": dict(summary.watch_events),
            }
        )

    def _line(self, value: Json) -> None:
        self._file.write(json.dumps(value) + "\n")
        self._file.flush()


class PlainScreen:
    """A line a step, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, step: str, title: str) -> None:
        """Nothing yet."""

    def update(self, progress: Progress) -> None:
        """Nothing: a log wants no motion."""

    def finish(self, record: StepRecord) -> None:
        """The step's line."""
        mark = "ok  " if record.ok else "FAIL"
        brief = _brief(record)
        line = f"{mark} {record.seconds:7.2f} s  {record.title}" + (f"  [{brief}]" if brief else "")
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def still(self, text: str) -> None:
        """The same: nothing moves here."""
        self.say(text)

    def close(self, summary: Summary) -> None:
        """The last line."""
        self.say(_closing(summary))


class LiveScreen:
    """Steps with their ticks, and the delivery as it moves."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._progress = Progress()
        self._current: tuple[str, Spinner] | None = None
        self._is_still = False

    def begin(self, step: str, title: str) -> None:
        """The step turns."""
        if self._live is None and not self._is_still:
            # Finished steps are printed above and scroll away; only what still moves is drawn again.
            self._live = Live(console=self._console, refresh_per_second=_REFRESH_HZ, get_renderable=self._view)
            self._live.start()
        self._current = (title, Spinner("dots", text=Text(f" {title} …", style="bold")))

    def update(self, progress: Progress) -> None:
        """Remembered for the next drawing."""
        self._progress = progress

    def finish(self, record: StepRecord) -> None:
        """The step gets its tick."""
        self._current = None
        line = Table.grid(padding=(0, 1))
        line.add_column(width=1)
        line.add_column(width=9, justify="right")
        line.add_column()
        mark = Text("✔", style="green") if record.ok else Text("✘", style="bold red")
        text = Text(record.title)
        brief = _brief(record)
        if brief:
            text.append(f"  {brief}", style="dim" if record.ok else "red")
        line.add_row(mark, Text(f"{record.seconds:.2f} s", style="dim"), text)
        self._console.print(line)

    def say(self, text: str) -> None:
        """A line above what moves."""
        self._console.print(Text(text))

    def still(self, text: str) -> None:
        """The view stops, or a process that is ended now would leave the terminal without a cursor."""
        self._current, self._is_still = None, True
        if self._live is not None:
            self._live.stop()
            self._live = None
        self.say(text)

    def close(self, summary: Summary) -> None:
        """The view stands still, and the result follows."""
        self._current = None
        if self._live is not None:
            self._live.stop()
        self._console.print(Text(_closing(summary), style="bold green" if summary.ok else "bold red"))

    def _view(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._progress.order_number:
            parts.append(self._delivery())
        if self._current is not None:
            parts.append(self._current[1])
        return Group(*parts)

    def _delivery(self) -> RenderableType:
        progress = self._progress
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        table.add_column()
        rows: list[tuple[str, RenderableType]] = [
            ("Order", Text(f"{progress.order_number} {progress.order_state}", style="bold")),
            ("Delivery", Text(progress.delivery_state or "not yet", style="cyan")),
            ("Courier", Text(progress.courier or "nobody yet")),
        ]
        if progress.positions:
            settled = progress.stored + progress.rejected
            rows += [
                ("Ride", ProgressBar(total=progress.positions, completed=settled, width=_LONGEST_VALUE)),
                (
                    "Positions",
                    Text(
                        f"{progress.sent} of {progress.positions} sent, {progress.stored} stored, "
                        f"{progress.rejected} rejected"
                    ),
                ),
            ]
        if progress.where:
            rows.append(("The buyer sees", Text(f"{progress.where}" + (f", due {progress.eta}" * bool(progress.eta)))))
        if progress.watch_events:
            counts = ", ".join(f"{count} {kind}" for kind, count in progress.watch_events.items())
            rows.append(("Watch", Text(counts, style="dim")))
        for name, value in rows:
            table.add_row(name, value)
        return Panel(table, title="delivery", title_align="left", border_style="dim")
