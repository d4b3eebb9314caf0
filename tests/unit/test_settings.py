"""What keeps a server from starting: development's defaults in production, and settings that contradict each other."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from marketd.commands.names import mistyped, setting_names
from marketd.config import DEVELOPMENT_SECRET, Environment, Settings
from marketd.config.forms import with_port
from marketd.config.problems import advice_of, problems_of
from pydantic import SecretStr, ValidationError

SECRET, PEPPER = "Wm3kz8Qp4Tt6Yx1Rb7Nc5Vd2Fg9Hj0Ls", "p0Oi9Uy8Tr7Ew6Qa5Sd4Fg3Hj2Kl1Zx0"
PRODUCTION: dict[str, Any] = {
    "env": Environment.PRODUCTION,
    "secret": SecretStr(SECRET),
    "password_pepper": SecretStr(PEPPER),
    "database_url": SecretStr("postgresql://db.example/market"),
    "tls_cert_file": Path("/etc/marketd/server.pem"),
    "tls_key_file": Path("/etc/marketd/server.key"),
    "smtp_url": SecretStr("smtps://user:password@mail.example"),
    "mail_from": "shop@market.example",
}


def problems(**changes: Any) -> list[str]:
    """The problems of production settings that are right but for these changes."""
    return problems_of(Settings(**{**PRODUCTION, **changes}))


def test_production_starts_with_everything_said() -> None:
    assert problems() == []


def test_nothing_has_to_be_said_in_development() -> None:
    assert problems_of(Settings()) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"secret": Settings().secret}, "MARKETD_SECRET is not set"),
        ({"secret": SecretStr("short")}, "MARKETD_SECRET is too short"),
        ({"secret": SecretStr(f" {DEVELOPMENT_SECRET}\n")}, "MARKETD_SECRET is not set"),
        ({"password_pepper": Settings().password_pepper}, "MARKETD_PASSWORD_PEPPER is not set"),
        ({"password_pepper": SecretStr(PEPPER[:31])}, "MARKETD_PASSWORD_PEPPER is too short"),
        ({"password_pepper": SecretStr("abab" * 10)}, "MARKETD_PASSWORD_PEPPER repeats"),
        ({"password_pepper": SecretStr(SECRET)}, "are equal"),
        ({"bcrypt_cost": 11}, "MARKETD_BCRYPT_COST is 11"),
        ({"database_url": None}, "MARKETD_DATABASE_URL is not set"),
        ({"tls_cert_file": None, "tls_key_file": None}, "there is no TLS"),
        ({"smtp_url": None}, "MARKETD_SMTP_URL is not set"),
        ({"mail_from": Settings().mail_from}, "MARKETD_MAIL_FROM is not set"),
        ({"password_reset_url": "http://shop.example/{token}"}, "MARKETD_PASSWORD_RESET_URL begins with http://"),
        ({"public_url": "http://shop.example"}, "MARKETD_PUBLIC_URL begins with http://"),
        (
            {"media_bucket_url": "s3://b", "media_bucket_endpoint": "http://s3.example"},
            "MARKETD_MEDIA_BUCKET_ENDPOINT begins with http://",
        ),
        (
            {"media_bucket_url": "s3://b", "media_bucket_public_url": "http://pictures.example"},
            "MARKETD_MEDIA_BUCKET_PUBLIC_URL begins with http://",
        ),
        ({"demo": True}, "MARKETD_DEMO is set"),
        ({"failpoints": Path("/tmp/failpoints")}, "MARKETD_FAILPOINTS is set"),  # noqa: S108 - never written to
    ],
)
def test_production_refuses_what_is_for_trying_out(changes: dict[str, Any], named: str) -> None:
    (problem,) = problems(**changes)
    assert named in problem
    assert SECRET not in problem
    assert PEPPER not in problem


@pytest.mark.parametrize(
    "told",
    [
        {"database_url": None, "allow_embedded_in_production": True},
        {"tls_cert_file": None, "tls_key_file": None, "tls_terminated_by_proxy": True},
        {"smtp_url": None, "mail_dir": Path("/var/spool/marketd")},
    ],
)
def test_production_takes_a_default_that_it_was_told_to_take(told: dict[str, Any]) -> None:
    assert problems(**told) == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(tls_cert_file=Path("a")), "go together"),
        (Settings(tls_key_file=Path("a")), "go together"),
        (Settings(gateway=True, port=6000, gateway_port=6000), "MARKETD_GATEWAY_PORT is MARKETD_PORT"),
        (Settings(tls_client_ca_file=Path("a")), "MARKETD_TLS_CLIENT_CA_FILE needs"),
        (Settings(tls_services={"a": "b"}), "MARKETD_TLS_SERVICES needs"),
        (Settings(internal_port=0), "MARKETD_INTERNAL_PORT needs"),
        (Settings(internal_compression=True), "MARKETD_INTERNAL_COMPRESSION needs"),
        (Settings(secrets_dir=Path("not/there")), "MARKETD_SECRETS_DIR is not a folder"),
        (Settings(media_bucket_url="s3://b", media_bucket_key=SecretStr("x")), "MARKETD_MEDIA_BUCKET_KEY go together"),
        (
            Settings(media_bucket_url="s3://b", media_bucket_key_id=SecretStr("x")),
            "MARKETD_MEDIA_BUCKET_KEY go together",
        ),
        (Settings(media_bucket_region="eu-north-1"), "MARKETD_MEDIA_BUCKET_REGION needs"),
        (Settings(media_bucket_endpoint="https://s3.example"), "MARKETD_MEDIA_BUCKET_ENDPOINT needs"),
        (
            Settings(media_bucket_key_id=SecretStr("x"), media_bucket_key=SecretStr("y")),
            "MARKETD_MEDIA_BUCKET_KEY needs",
        ),
        (Settings(media_bucket_public_url="https://p.example"), "MARKETD_MEDIA_BUCKET_PUBLIC_URL needs"),
    ],
)
def test_what_cannot_be_meant_is_refused_everywhere(settings: Settings, named: str) -> None:
    (problem,) = problems_of(settings)
    assert named in problem


def test_secrets_may_come_from_files_and_the_environment_goes_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marketd_secret").write_text(f"{SECRET}\n")
    (tmp_path / "marketd_password_pepper").write_text("from the file")
    monkeypatch.setenv("MARKETD_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("MARKETD_PASSWORD_PEPPER", PEPPER)
    settings = Settings.read(port=7)
    assert settings.secret.get_secret_value() == SECRET
    assert settings.password_pepper.get_secret_value() == PEPPER
    assert (settings.port, settings.secrets_dir) == (7, tmp_path)


def test_a_folder_of_secrets_that_is_not_there_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETD_SECRETS_DIR", "not/there")
    (problem,) = problems_of(Settings.read())
    assert "MARKETD_SECRETS_DIR" in problem


@pytest.mark.parametrize(
    ("limits", "named"), [({"login": (1, 10)}, "login is no class"), ({"LOGIN": (0, 10)}, "positive rate")]
)
def test_limits_that_are_none_are_refused_with_their_name(limits: dict[str, tuple[float, int]], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Settings(rate_limits=limits)


def test_a_proxy_that_nobody_trusts_and_codes_that_nobody_carries_are_advised_against() -> None:
    proxied = {**PRODUCTION, "tls_terminated_by_proxy": True}
    hops, sms, support = advice_of(Settings(**proxied))
    assert "MARKETD_TRUSTED_PROXY_HOPS" in hops
    assert "MARKETD_SMS_SENDER" in sms
    assert "MARKETD_SUPPORT_EMAIL" in support
    assert (
        advice_of(Settings(**proxied, trusted_proxy_hops=1, sms_sender="shop.sms:sender", support_email="a@b.c")) == []
    )
    assert advice_of(Settings(tls_terminated_by_proxy=True)) == []
    advised = {**proxied, "trusted_proxy_hops": 1, "sms_sender": "shop.sms:sender", "support_email": "a@b.c"}
    (behind,) = advice_of(Settings(**advised, gateway=True))
    assert "MARKETD_GATEWAY_TRUSTED_HOPS" in behind
    assert advice_of(Settings(**advised, gateway=True, gateway_trusted_hops=1)) == []
    assert not Settings(**proxied).sends_sms
    assert Settings(**proxied, sms_sender="shop.sms:sender").sends_sms
    assert Settings().sends_sms  # its text is in the log, for whoever tries it out


def test_everything_wrong_is_said_at_once() -> None:
    assert len(problems_of(Settings(env=Environment.PRODUCTION))) == 5


@pytest.mark.parametrize("url", ["emma.example/{token}", "https://emma.example/reset", "javascript:{token}"])
def test_a_reset_page_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(password_reset_url=url)


@pytest.mark.parametrize("url", ["emma.example", "javascript:alert(1)", "https://emma.example/?x=1", "https://a/#b"])
def test_an_address_of_the_shops_pages_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(public_url=url)
    assert Settings(public_url="https://emma.example/shop/").public_url == "https://emma.example/shop"


def test_letters_lie_beside_the_data_unless_told() -> None:
    assert Settings(data_dir=Path("d")).mail_folder == Path("d/mail")
    assert Settings(data_dir=Path("d"), mail_dir=Path("m")).mail_folder == Path("m")


def test_pictures_of_two_databases_do_not_lie_in_one_folder() -> None:
    # The same bytes are one file there: deleted by one database, it would be gone for the other.
    assert Settings().media_folder == Path("media")
    assert Settings(data_dir=Path("d")).media_folder == Path("d/media")
    assert Settings(data_dir=Path("d"), media_dir=Path("m")).media_folder == Path("m")


def test_the_names_that_are_read_from_the_text_are_those_of_the_settings() -> None:
    assert setting_names() == {f"MARKETD_{name.upper()}" for name in Settings.model_fields}


def test_a_mistyped_name_is_said_with_the_one_that_was_meant() -> None:
    names = ["MARKETD_TLS_CERTFILE", "MARKETD_PORT", "MARKETD_ADMIN_PASSWORD", "MARKETD_ZZZ", "PATH", "marketd_port"]
    assert list(mistyped([*names, "marketd_prot", "MARKETD_ENV_FILE"]).values()) == [
        "MARKETD_TLS_CERTFILE is no setting and has no effect; is MARKETD_TLS_CERT_FILE meant?",
        "MARKETD_ZZZ is no setting and has no effect.",
        "marketd_prot is no setting and has no effect; is MARKETD_PORT meant?",
    ]


DURATIONS = sorted(name for name, field in Settings.model_fields.items() if field.annotation is timedelta)
# Every one of them takes its own default, in whichever form it is written.
SECONDS = {name: Settings.model_fields[name].get_default().total_seconds() for name in DURATIONS}


def test_there_are_durations_to_speak_of() -> None:
    assert {"lease", "refresh_grace", "access_token_lifetime"} <= set(DURATIONS)


@pytest.mark.parametrize("name", DURATIONS)
def test_a_duration_is_seconds_or_iso_8601(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = SECONDS[name]
    for text in (f"{seconds:.0f}", f" {seconds:.1f} ", f"PT{seconds:.0f}S", str(timedelta(seconds=seconds))):
        monkeypatch.setenv(f"MARKETD_{name.upper()}", text)
        assert getattr(Settings(), name) == timedelta(seconds=seconds), text


@pytest.mark.parametrize("text", ["soon", "", "10s", "-1", "-PT5M", "1e3", "nan", "9" * 400, "P999999D"])
def test_what_is_no_duration_is_refused_with_both_forms(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DURATIONS:
        monkeypatch.setenv(f"MARKETD_{name.upper()}", text)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert {error["loc"][0] for error in refused.value.errors()} == set(DURATIONS)
    assert all("give seconds (900) or ISO 8601 (PT15M)" in error["msg"] for error in refused.value.errors())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("access_token_lifetime", "901"),
        ("access_token_lifetime", "0"),
        ("refresh_grace", "60.5"),
        ("request_id_lifetime", "86399"),
        ("audit_retention", "PT1H"),
        ("lease", "0"),
        ("job_lease", "0"),
    ],
)
def test_durations_keep_their_bounds_in_both_forms(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MARKETD_{name.upper()}", text)
    with pytest.raises(ValidationError, match=r"should be (greater|less) than"):
        Settings()


def test_half_a_second_is_a_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETD_LEASE", "0.5")
    assert Settings().lease == timedelta(seconds=0.5)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("::1", "[::1]:7"),
        ("[::1]", "[::1]:7"),
        ("::", "[::]:7"),
        ("[::]", "[::]:7"),
        ("fe80::1%eth0", "[fe80::1%eth0]:7"),
        ("127.0.0.1", "127.0.0.1:7"),
        ("shop.example", "shop.example:7"),
    ],
)
def test_a_host_is_taken_in_every_spelling_and_printed_in_one(given: str, address: str) -> None:
    assert with_port(Settings(host=given).host, 7) == address


@pytest.mark.parametrize(
    "given", ["", "[]", "[127.0.0.1]", "[shop.example]", "127.0.0.1:80", "[::1]:80", "[::1", "::g"]
)
def test_what_is_no_host_alone_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="without a port"):
        Settings(host=given)


@pytest.mark.parametrize("seconds", [0.5, 2.9, -1])
def test_a_worker_has_time_for_a_few_beats(seconds: float) -> None:
    with pytest.raises(ValidationError):
        Settings(hang_seconds=seconds)
    assert Settings(hang_seconds=0).hang_seconds == 0


@pytest.mark.parametrize(
    "address",
    [
        "ftp://p.example/",
        "https://",
        "p.example",
        "https://p.example/?a=1",
        "https://p.example/#a",
        "https://p.example/a b",
        "https://someone@p.example/",
        "https://p.example/%",
        "https://p.example/\\1",
    ],
)
def test_a_bucket_is_public_at_a_plain_web_address_alone(address: str) -> None:
    with pytest.raises(ValidationError, match="must be a web address"):
        Settings(media_bucket_public_url=address)


def test_a_public_bucket_may_have_a_folder_and_a_port() -> None:
    for address in ("https://p.example", "http://127.0.0.1:8333/pictures/a%20b", "http://[::1]:8333/"):
        assert Settings(media_bucket_public_url=address).media_bucket_public_url == address.rstrip("/") + "/"
