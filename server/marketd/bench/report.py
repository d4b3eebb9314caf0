"""What was found, as JSON for machines and as a table for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import grpc
import psutil
from rich.console import Group
from rich.table import Table
from rich.text import Text

from marketd.bench import h2load
from marketd.bench.imports import ImportsMeasured
from marketd.bench.logins import LoginsMeasured
from marketd.bench.measure import TOO_NOISY_PERCENT, Figures, Measured
from marketd.bench.operations import DEFAULT, SERVER, TUNED


@dataclass(frozen=True, slots=True)
class Report:
    """A finished benchmark."""

    measured: Sequence[Measured]
    quick: bool
    logins: LoginsMeasured | None = None
    imports: ImportsMeasured | None = None

    def to_json(self) -> dict[str, Any]:
        """The contract's form: machine, noise, operations."""
        return {
            "machine": machine(),
            "noise": self._noise(),
            "operations": [
                *(_operation(measured) for measured in self.measured),
                *([self.logins.to_json()] if self.logins is not None else []),
                *([self.imports.to_json()] if self.imports is not None else []),
            ],
        }

    def to_table(self) -> Group:
        """For a terminal: a line an operation, and what one must know to read it."""
        # 80 columns are what there is when the output goes to a file.
        table = Table(box=None, padding=(0, 1, 0, 0))
        table.add_column("operation", no_wrap=True)
        for column in ("calls/s", "p50/p99\nms", "CPU\nµs", "PG\nµs", "floors\nµs", "ratio", "at most"):
            table.add_column(column, justify="right", no_wrap=True)
        for measured in self.measured:
            table.add_row(*_cells(measured))
        noted = [measured.operation for measured in self.measured if measured.operation.note]
        notes = [Text(f"{operation.name}: {operation.note}.") for operation in noted]
        if self.logins is not None:
            notes.append(Text(self.logins.sentence()))
        if self.imports is not None:
            notes.append(Text(self.imports.sentence()))
        if not self.measured:
            return Group(*notes)
        legend = "CPU and PG: processor time of a call. Floors: CPU of the tuned / the default one; ratio: to these."
        verdict = Text(self._noise_sentence(), style="bold" if not self._trusted() else "")
        return Group(table, Text(""), Text(legend), *notes, verdict)

    def _noise(self) -> dict[str, Any]:
        known = [measured.noise_percent for measured in self.measured if measured.noise_percent is not None]
        return {
            "spread_percent": round(max(known), 1) if known else None,
            "trusted": self._trusted(),
            "message": self._noise_sentence(),
        }

    def _noisy(self) -> list[str]:
        return [
            measured.operation.name
            for measured in self.measured
            if measured.noise_percent is None or measured.noise_percent > TOO_NOISY_PERCENT
        ]

    def _trusted(self) -> bool:
        return not self.quick and bool(self.measured) and not self._noisy()

    def _noise_sentence(self) -> str:
        if self.quick:
            return "A quick run shows that everything works; its rounds are too short for figures to trust."
        if not self.measured:
            return "Nothing was measured beside a floor, which would have shown the noise."
        noisy = self._noisy()
        if not noisy:
            return f"The tuned floor's rounds lie within {TOO_NOISY_PERCENT:.0f} % of each other."
        return (
            f"Too noisy to trust: the tuned floor's rounds lie more than {TOO_NOISY_PERCENT:.0f} % apart for "
            f"{', '.join(noisy)}. Run it again on a quiet machine, with more --rounds."
        )


def machine() -> Mapping[str, Any]:
    """What was measured on."""
    return {
        "cores": psutil.cpu_count() or 1,
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "platform": platform.platform(),
        "hot_read_load": "h2load" if h2load.is_installed() else "grpc.aio",
    }


def _operation(measured: Measured) -> dict[str, Any]:
    operation = measured.operation
    target = operation.target
    return {
        "name": operation.name,
        **_rounded(measured.sides[SERVER]),
        "floor": {variant: _rounded(measured.sides[variant]) for variant in (DEFAULT, TUNED)},
        "ratio": round(measured.ratio, 3),
        "target": None if target is None else target.tuned,
        "ratio_default": round(measured.ratio_default, 3),
        "target_default": None if target is None else target.default,
        "meets_target": measured.meets_target,
        "noise_percent": None if measured.noise_percent is None else round(measured.noise_percent, 1),
        "rounds": measured.rounds,
        "calls": measured.calls,
        "note": operation.note,
    }


def _rounded(figures: Figures) -> dict[str, float | None]:
    rounded: dict[str, float | None] = {}
    for name, value in asdict(figures).items():
        # Nobody waited for the single call; null says that better than a latency of 0.
        rounded[name] = None if name.endswith("_ms") and not value else round(value, 3 if name.endswith("_ms") else 1)
    return rounded


def _cells(measured: Measured) -> list[str]:
    server, target = measured.sides[SERVER], measured.operation.target
    ratio, at_most = f"{measured.ratio:.2f}", "-"
    if target is not None:
        at_most = f"{target.tuned:g}"
        if target.default is not None:
            ratio, at_most = f"{ratio}/{measured.ratio_default:.2f}", f"{at_most}/{target.default:g}"
        ratio = f"{ratio} {'✓' if measured.meets_target else '✗'}"
    return [
        measured.operation.name,
        f"{server.rps:,.0f}",
        f"{server.p50_ms:.1f}/{server.p99_ms:.1f}" if server.p50_ms else "-",
        f"{server.server_cpu_us:.0f}",
        f"{server.postgres_cpu_us:.0f}",
        f"{measured.sides[TUNED].server_cpu_us:.0f}/{measured.sides[DEFAULT].server_cpu_us:.0f}",
        ratio,
        at_most,
    ]
