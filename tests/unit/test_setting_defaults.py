"""The defaults of settings are those that docs/operations.md promises, and their bounds stand written out here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Final

import pytest
from marketd.config import DEVELOPMENT_SECRET, STRICT_LIMITS, Environment, Settings
from pydantic import SecretStr, ValidationError

MANUAL: Final = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
_UNITS: Final[Mapping[str, float]] = {
    "s": 1,
    "minutes": 60,
    "hour": 3600,
    "hours": 3600,
    "days": 86_400,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
# What the manual says in words: the setting holds nothing, and what happens then is for those who read it.
_IN_WORDS: Final[Mapping[str, object]] = {
    "REFLECTION": None,
    "CHANNELZ": None,
    "ACCESS_LOG": None,
    "DATABASE_URL": None,
    "MEDIA_DIR": None,
    "MEDIA_BUCKET_ENDPOINT": None,
    "MEDIA_BUCKET_REGION": None,
    "MEDIA_BUCKET_KEY_ID": None,
    "MEDIA_BUCKET_KEY": None,
    "SECRET": DEVELOPMENT_SECRET,
    "PASSWORD_PEPPER": DEVELOPMENT_SECRET,
    "GATEWAY_HOST": None,
    "GATEWAY_PORT": None,
    "GATEWAY_UPSTREAMS": None,
    "SMTP_URL": None,
    "MAIL_DIR": None,
    "MAIL_TEMPLATES": None,
    "SMS_SENDER": None,
    "RATE_LIMITS": None,
}
_NO_SETTINGS: Final = {"ENV_FILE"}

# The lowest and the highest value that a setting takes; None where it has no bound.
BOUNDS: Final[Mapping[str, tuple[float | None, float | None]]] = {
    "port": (0, 65_535),
    "admin_port": (0, 65_535),
    "internal_port": (0, 65_535),
    "gateway_port": (0, 65_535),
    "workers": (1, 64),
    "trusted_proxy_hops": (0, 8),
    "drain_seconds": (0, 300),
    "hang_seconds": (0, 300),
    "gateway_trusted_hops": (0, 8),
    "gateway_max_connections": (1, None),
    "gateway_connections_of_address": (0, None),
    "gateway_body_bytes": (1_024, 4_194_304),
    "gateway_idle_seconds": (15, 3_600),
    "gateway_threads": (1, 64),
    "pool_size": (1, 200),
    "pool_timeout_seconds": (0.001, 30),
    "audit_retention": (86_400, None),
    "audit_refusals": (1, None),
    "max_media_bytes": (65_536, 104_857_600),
    "media_quota_bytes": (0, None),
    "unheld_media_lifetime": (0.001, None),
    "render_processes": (1, 32),
    "proof_retention": (86_400, None),
    "bcrypt_cost": (4, 16),
    "access_token_lifetime": (0.001, 900),
    "session_idle_lifetime": (900, None),
    "refresh_grace": (0, 60),
    "clock_leeway": (0, 60),
    "delivery_fee_minor": (0, None),
    "tax_rate": (0, 100),
    "guest_cart_lifetime": (0.001, None),
    "order_accept_lifetime": (0.001, None),
    "request_id_lifetime": (86_400, None),
    "courier_speed_mps": (0.001, 60),
    "default_prep_minutes": (0, 1_440),
    "position_rate_hz": (0.001, None),
    "lease": (0.001, None),
    "job_lease": (0.001, None),
    "max_connections": (1, None),
    "max_calls_of_address": (1, 512),
    "max_streams_of_address": (1, 16_000),
    "max_streams_of_account": (1, None),
    "answer_cache_seconds": (0, 1),
}
_OPEN_BELOW: Final = 0.001
"""Stands for a bound that is not a value itself: anything above 0."""


def promised() -> dict[str, str]:
    """The default of each setting as the table of the manual has it."""
    found: dict[str, str] = {}
    for line in MANUAL.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split(" | ")]
        names = re.findall(r"`MARKETD_(\w+)`", cells[0])
        if line.startswith("| `MARKETD_") and len(cells) >= 2 and re.fullmatch(r"\| (`\w+`(, )?)+", cells[0]):
            found.update(dict.fromkeys(names, cells[1]))
    return found


def plain(value: Any) -> object:
    """A default as the manual can say it: numbers as such, spans in seconds, nothing as None."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Path):
        return str(value)
    return None if value in ("", (), {}) else value


def told(text: str) -> object:
    """What the manual says: `10`, 15 minutes (the most), 20 MiB, none."""
    text = re.sub(r" \(.*?\)$", "", text).strip("`")
    if text in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[text]
    number, _, unit = text.partition(" ")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", number):
        return text
    return float(number) * (_UNITS[unit] if unit else 1)


def test_the_manual_says_the_default_of_every_setting() -> None:
    said = promised()
    assert said.keys() - _NO_SETTINGS == {name.upper() for name in Settings.model_fields}
    wrong = {
        name: (text, found)
        for name, text in said.items()
        if name not in _NO_SETTINGS
        and (found := plain(Settings.model_fields[name.lower()].get_default(call_default_factory=True)))
        != _IN_WORDS.get(name, told(text))
    }
    assert wrong == {}


def _bounded() -> set[str]:
    """The settings that have a bound of their own."""
    names = ("ge", "gt", "le", "lt")
    return {
        name
        for name, field in Settings.model_fields.items()
        if any(hasattr(rule, each) for rule in field.metadata for each in names)
    }


def test_the_bounds_of_every_setting_are_written_out() -> None:
    assert _bounded() == BOUNDS.keys()


@pytest.mark.parametrize("name", BOUNDS)
def test_a_setting_takes_what_lies_within_its_bounds_and_nothing_else(name: str) -> None:
    lowest, highest = BOUNDS[name]
    annotation = str(Settings.model_fields[name].annotation)
    step = 1.0 if "int" in annotation else 0.001
    good = [bound for bound in (lowest, highest) if bound is not None]
    bad = [lowest - (_OPEN_BELOW if lowest == _OPEN_BELOW else step)] if lowest is not None else []
    bad += [highest + step] if highest is not None else []
    for value in good:
        Settings.model_validate({name: _typed(value, annotation)})
    for value in bad:
        with pytest.raises(ValidationError, match=name):
            Settings.model_validate({name: _typed(value, annotation)})


def _typed(value: float, annotation: str) -> object:
    if "timedelta" in annotation:
        return timedelta(seconds=value)
    return int(value) if "int" in annotation else Decimal(f"{value:.3f}") if "Decimal" in annotation else value


def test_production_is_strict_and_everything_else_generous_unless_told() -> None:
    # docs/operations.md and `marketd policy` promise these.
    strict = {
        "READ": (50.0, 200),
        "WRITE": (20.0, 60),
        "LOGIN": (0.5, 10),
        "CODE": (0.1, 5),
        "CHECKOUT": (2.0, 20),
        "UPLOAD": (1.0, 10),
        "STREAM": (2.0, 20),
        "ADMIN": (20.0, 60),
    }
    assert strict == STRICT_LIMITS
    production = Settings(env=Environment.PRODUCTION)
    assert production.limits() == strict
    assert Settings(env=Environment.PRODUCTION, rate_limits={"LOGIN": (9.0, 90)}).limits() == {
        **strict,
        "LOGIN": (9.0, 90),
    }
    for env in (Environment.DEVELOPMENT, Environment.TEST):
        limits = Settings(env=env, rate_limits={"READ": (1.0, 1)}).limits()
        assert limits.pop("READ") == (1.0, 1)
        assert all(per_second >= 1_000 and burst >= 1_000 for per_second, burst in limits.values())


def test_what_shows_the_inside_is_off_in_production_and_the_access_log_on_unless_told() -> None:
    for env, shown in ((Environment.PRODUCTION, False), (Environment.TEST, True), (Environment.DEVELOPMENT, True)):
        settings = Settings(env=env)
        assert (settings.show_reflection, settings.show_channelz, settings.show_access_log) == (
            shown,
            shown,
            not shown,
        )
        for told_so in (True, False):
            settings = Settings(env=env, reflection=told_so, channelz=told_so, access_log=told_so)
            assert settings.show_reflection is settings.show_channelz is settings.show_access_log is told_so
