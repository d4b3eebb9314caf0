"""Settings: that secrets stay hidden, keys differ, and the manual names every setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from marketd.config import Settings
from pydantic import SecretStr, ValidationError

ROOT = Path(__file__).resolve().parents[2]
STRONG = SecretStr("a" * 20 + "b" * 20)
OTHER = SecretStr("c" * 20 + "d" * 20)


def test_secrets_do_not_show() -> None:
    assert "development-secret" not in repr(Settings())


def test_a_database_that_is_no_postgres_is_refused() -> None:
    with pytest.raises(ValidationError, match="postgresql://"):
        Settings(database_url=SecretStr("mysql://localhost/x"))


def test_the_manual_names_every_setting() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text()
    missing = [name for name in Settings.model_fields if f"`MARKETD_{name.upper()}`" not in manual]
    assert missing == []


def test_the_manual_names_every_derived_key() -> None:
    code = "".join(path.read_text() for path in (ROOT / "server" / "marketd").rglob("*.py"))
    keys = re.findall(r'\bderive\("([a-z-]+)"\)', code)
    manual = (ROOT / "docs" / "operations.md").read_text()
    assert "guest-carts" in keys
    assert [key for key in keys if f"`{key}`" not in manual] == []


def test_derived_keys_differ_by_purpose_and_secret() -> None:
    one, other = Settings(secret=STRONG), Settings(secret=OTHER)
    assert len({one.derive("a"), one.derive("b"), other.derive("a")}) == 3
