"""Settings: what production refuses, and that the manual names every one of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from marketd.config import Environment, Settings
from pydantic import SecretStr, ValidationError

ROOT = Path(__file__).resolve().parents[2]
STRONG = SecretStr("a" * 20 + "b" * 20)
OTHER = SecretStr("c" * 20 + "d" * 20)


def production(**changes: object) -> list[str]:
    """The problems of a production server that is right but for `changes`."""
    good: dict[str, object] = {
        "env": Environment.PRODUCTION,
        "secret": STRONG,
        "password_pepper": OTHER,
        "database_url": SecretStr("postgresql://localhost/marketplace"),
    }
    return Settings.model_validate({**good, **changes}).problems()


def test_development_starts_with_its_defaults() -> None:
    assert Settings().problems() == []


def test_a_good_production_server_starts() -> None:
    assert production() == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"secret": Settings().secret}, "MARKETD_SECRET is not set"),
        ({"password_pepper": Settings().password_pepper}, "MARKETD_PASSWORD_PEPPER is not set"),
        ({"secret": SecretStr("short")}, "MARKETD_SECRET is too short"),
        ({"password_pepper": STRONG}, "are equal"),
        ({"bcrypt_cost": 8}, "MARKETD_BCRYPT_COST"),
        ({"database_url": None}, "MARKETD_DATABASE_URL"),
    ],
)
def test_production_refuses_what_is_only_good_for_trying_out(changes: dict[str, object], named: str) -> None:
    assert [problem for problem in production(**changes) if named in problem]


def test_production_may_be_told_to_use_the_embedded_database() -> None:
    assert production(database_url=None, allow_embedded_in_production=True) == []


def test_secrets_do_not_show() -> None:
    assert "development-secret" not in repr(Settings())


def test_a_database_that_is_no_postgres_is_refused() -> None:
    with pytest.raises(ValidationError, match="postgresql://"):
        Settings(database_url=SecretStr("mysql://localhost/x"))


def test_the_manual_names_every_setting() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text()
    missing = [name for name in Settings.model_fields if f"`MARKETD_{name.upper()}`" not in manual]
    assert missing == []


def test_derived_keys_differ_by_purpose_and_secret() -> None:
    one, other = Settings(secret=STRONG), Settings(secret=OTHER)
    assert len({one.derive("a"), one.derive("b"), other.derive("a")}) == 3
