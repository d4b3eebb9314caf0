"""Settings: one frozen object, read once from the environment (MARKETD_…), with defaults that are safe on one machine.

Nothing else reads the environment. Production refuses what is only good for trying out; problems.py says what and why.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import os
from datetime import timedelta
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from marketd.config.currencies import CURRENCY_DIGITS
from marketd.config.forms import bare_host, duration, origins, public_folder, split_port

DATA_DIR: Final = Path(".marketd")
DEVELOPMENT_SECRET = "development-secret-not-for-production"  # noqa: S105 - the name says it; production refuses it

STRICT_LIMITS = {
    "READ": (50.0, 200),
    "WRITE": (20.0, 60),
    "LOGIN": (0.5, 10),
    "CODE": (0.1, 5),
    "CHECKOUT": (2.0, 20),
    "UPLOAD": (1.0, 10),
    "STREAM": (2.0, 20),
    "ADMIN": (20.0, 60),
}
"""Production's calls a second and burst, by rate class."""


class Environment(enum.StrEnum):
    """Where the server runs; PRODUCTION refuses development defaults."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class ReviewModeration(enum.StrEnum):
    """Which reviews an admin looks at before others see them."""

    OFF = "off"
    ALL = "all"


class Settings(BaseSettings):
    """Everything that can be set. Durations are seconds (900) or in ISO 8601 (PT15M)."""

    model_config = SettingsConfigDict(env_prefix="MARKETD_", frozen=True, extra="ignore")

    env: Environment = Environment.DEVELOPMENT

    # Where it listens
    host: str = Field("127.0.0.1", description="An address or a name; IPv6 with or without brackets, kept without.")
    port: int = Field(50051, ge=0, le=65535)
    admin_port: int = Field(0, ge=0, le=65535, description="Metrics on loopback; 0 takes a free port.")
    workers: int = Field(1, ge=1, le=64)
    reflection: bool | None = Field(None, description="On unless in production.")
    channelz: bool | None = Field(None, description="On unless in production.")
    trusted_proxy_hops: int = Field(0, ge=0, le=8)
    drain_seconds: float = Field(10.0, ge=0, le=300)
    hang_seconds: float = Field(
        5.0, ge=0, le=300, description="A worker or a gateway that is silent for so long is replaced; 0 replaces none."
    )
    uvloop: bool = True
    demo: bool = Field(False, description="Said by GetServerInfo; serve --demo sets it, and production refuses it.")

    # Encryption: certificates are read again when their files change
    tls_cert_file: Path | None = Field(None, description="PEM, the server's own certificate first.")
    tls_key_file: Path | None = None
    tls_client_ca_file: Path | None = Field(
        None, description="PEM of whoever signs clients' certificates; clients must then show one (see internal_port)."
    )
    tls_services: dict[str, str] = Field(
        default_factory=dict,
        description='Internal services by a name in their certificate: \'{"orders.internal": "orders"}\'.',
    )
    internal_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="A second port for internal services; clients' certificates are then asked for on this one only.",
    )
    internal_compression: bool = Field(
        False, description="Whether the internal port takes compressed messages; the public one never does."
    )
    tls_terminated_by_proxy: bool = Field(False, description="Says that a proxy in front of the server speaks TLS.")

    # The gateway: one address for browsers, phones and curl
    gateway: bool = Field(False, description="Whether `serve` runs a gateway (Envoy) beside the workers.")
    gateway_host: str | None = Field(None, description="HOST by default.")
    gateway_port: int | None = Field(None, ge=0, le=65535, description="PORT + 1 by default; 0 takes a free one.")
    gateway_origins: tuple[str, ...] = Field(
        (), description='Web pages that may call from a browser: \'["https://shop.example"]\'; ["*"] is every page.'
    )
    gateway_tls_cert_file: Path | None = Field(None, description="PEM, the gateway's own certificate first.")
    gateway_tls_key_file: Path | None = None
    gateway_trusted_hops: int = Field(
        0, ge=0, le=8, description="Proxies in front of the gateway whose x-forwarded-for is believed."
    )
    gateway_upstreams: tuple[str, ...] = Field(
        (), description="For `marketd gateway`: HOST:PORT of each server; MARKETD_HOST:MARKETD_PORT by default."
    )
    gateway_upstream_ca_file: Path | None = Field(
        None, description="PEM of whoever signs the servers' certificates; the gateway then speaks TLS with them."
    )
    gateway_static: Path | None = Field(None, description="A folder of pages that the gateway serves.")
    gateway_max_connections: int = Field(10_000, ge=1, description="Connections of clients; more are closed at once.")
    gateway_connections_of_address: int = Field(
        2_500,
        ge=0,
        description="Connections of an address and of those that are counted with it, an eighth of all; 0 counts none.",
    )
    gateway_body_bytes: int = Field(
        1024 * 1024, ge=1024, le=4 * 1024 * 1024, description="The longest body of a request in JSON, uploads aside."
    )
    gateway_idle_seconds: float = Field(
        60.0, ge=15, le=3600, description="A call on which nothing moves for so long is ended."
    )
    gateway_threads: int = Field(2, ge=1, le=64, description="Threads of Envoy that serve.")

    # Where it keeps things
    database_url: SecretStr | None = Field(
        None, description="postgresql://…; without one, an embedded PostgreSQL runs."
    )
    data_dir: Path = DATA_DIR
    pool_size: int = Field(20, ge=1, le=200, description="Connections of each worker, opened as they are needed.")
    pool_timeout_seconds: float = Field(1.0, gt=0, le=30)
    allow_embedded_in_production: bool = False
    event_retention: timedelta = timedelta(days=30)
    audit_retention: timedelta = Field(timedelta(days=365), ge=timedelta(days=1))
    audit_refusals: int = Field(
        1_000,
        ge=1,
        description="Refused calls of one address that each worker audits at once; after them one a second.",
    )

    # Files
    media_dir: Path | None = Field(
        None, description="Where pictures are kept without a bucket; `media`, or that in a DATA_DIR of its own."
    )
    media_bucket_url: str | None = Field(
        None, description="s3://bucket/folder; pictures are then kept there and not in media_dir."
    )
    media_bucket_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/?#@\s]+/?$",
        description="Of an S3 service that is not Amazon's; this and the next three go before the AWS_ variables.",
    )
    media_bucket_region: str | None = None
    media_bucket_key_id: SecretStr | None = None
    media_bucket_key: SecretStr | None = None
    media_bucket_public_url: str | None = Field(
        None,
        description="Where everybody may read the bucket's folder, such as https://pictures.shop.example/; the gateway "
        "leads /media/ there.",
    )
    media_url: str = Field(
        "/media/",
        description="What stands before a picture's file name in its address: a path, or a web address of your CDN.",
    )
    max_media_bytes: int = Field(20 * 1024 * 1024, ge=64 * 1024, le=100 * 1024 * 1024)
    media_quota_bytes: int = Field(
        5 * 1024**3, ge=0, description="Bytes that the pictures of one account may take, in all their sizes."
    )
    unheld_media_lifetime: timedelta = Field(
        timedelta(hours=24), gt=timedelta(0), description="After so long a picture that nothing uses is removed."
    )
    fetch_pictures: bool = Field(
        True, description="Whether pictures that shops give by their address are fetched; else they stay links."
    )
    fetch_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="Networks besides the public internet to fetch them from: '[\"10.1.0.0/16\"]'."
    )
    render_processes: int = Field(2, ge=1, le=32, description="Processes of each worker that make pictures' sizes.")

    proof_retention: timedelta = Field(
        timedelta(days=180),
        ge=timedelta(days=1),
        description="How long pictures that prove a delivery are kept once it is closed.",
    )

    # Secrets
    secrets_dir: Path | None = Field(
        None,
        description="A folder with a file for each setting that is not to stand in the environment: marketd_secret, …",
    )
    secret: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    password_pepper: SecretStr = SecretStr(DEVELOPMENT_SECRET)

    # Identity
    issuer: str = "marketd"
    audience: str = "marketd"
    bcrypt_cost: int = Field(12, ge=4, le=16)
    access_token_lifetime: timedelta = Field(timedelta(minutes=15), le=timedelta(minutes=15), gt=timedelta(0))
    refresh_token_lifetime: timedelta = timedelta(days=30)
    session_idle_lifetime: timedelta = Field(timedelta(days=14), ge=timedelta(minutes=15))
    refresh_grace: timedelta = Field(timedelta(seconds=10), ge=timedelta(0), le=timedelta(minutes=1))
    clock_leeway: timedelta = Field(timedelta(seconds=30), ge=timedelta(0), le=timedelta(minutes=1))
    admin_totp: bool = Field(
        False, description="Whether ADMIN counts only in sessions that were opened with a second factor."
    )

    # Mail and SMS
    shop_name: str = Field("Marketplace", min_length=1, max_length=60, description="Who writes the letters.")
    smtp_url: SecretStr | None = Field(
        None, description="smtp(s)://user:password@host:port; without one, letters become files in mail_dir."
    )
    mail_from: str = Field("no-reply@localhost", description="An address, or Name <address>.")
    mail_dir: Path | None = Field(None, description="Where letters are kept without SMTP; DATA_DIR/mail by default.")
    mail_templates: Path | None = Field(None, description="A folder whose templates go before the built-in ones.")
    support_email: str = Field("", description="Named in letters, for people who need help.")
    password_reset_url: str = Field("", description="The page that resets passwords, with {token} in it.")
    public_url: str = Field(
        "", description="Where the shop's pages are: letters then link to /undo-email-change, with #token= behind it."
    )
    sms_sender: str | None = Field(
        None, pattern=r"^[\w.]+:\w+$", description="package.module:factory of a provider; without one, a log line."
    )

    # Trade
    currency: str = Field("EUR", description="An ISO 4217 code of 0, 2 or 3 decimal digits.")
    delivery_fee_minor: int = Field(490, ge=0, description="A package's delivery fee where no zone says otherwise.")
    tax_rate: Decimal = Field(
        Decimal(0),
        ge=0,
        le=100,
        decimal_places=4,
        description="Percent of tax in prices where no category says it, and in delivery fees.",
    )
    order_ahead: timedelta = Field(
        timedelta(hours=24),
        description="How long before it opens a closed shop takes orders; 0 takes them only while it is open.",
    )
    quote_lifetime: timedelta = timedelta(minutes=15)
    guest_cart_lifetime: timedelta = Field(
        timedelta(days=30),
        gt=timedelta(0),
        description="How long a guest's cart is kept after its last change; its token ends with it.",
    )
    unpaid_order_lifetime: timedelta = timedelta(minutes=30)
    order_accept_lifetime: timedelta = Field(
        timedelta(hours=1),
        gt=timedelta(0),
        description="How long a seller may take to accept a paid order, once the shop is open.",
    )
    request_id_lifetime: timedelta = Field(timedelta(hours=48), ge=timedelta(hours=24))
    courier_speed_mps: float = Field(5.5, gt=0, le=60, description="For arrival estimates: a bicycle in a city.")
    default_prep_minutes: int = Field(15, ge=0, le=1440)
    search_language: str = Field("english", min_length=1, description="A text search configuration of PostgreSQL.")

    review_moderation: ReviewModeration = Field(
        ReviewModeration.OFF,
        description="With `all` each review waits for an admin before others see it; with `off` it is public at once.",
    )

    # Couriers' positions
    position_rate_hz: float = Field(5.0, gt=0, description="Above it a courier gets a directive to send less often.")
    position_retention: timedelta = timedelta(days=30)

    # Background
    lease: timedelta = Field(timedelta(seconds=10), gt=timedelta(0))
    job_lease: timedelta = Field(timedelta(seconds=30), gt=timedelta(0))
    run_worker: bool = Field(True, description="Whether `serve` also runs relay, timers and jobs.")

    # Limits: calls a second and burst for each class, e.g. MARKETD_RATE_LIMITS='{"LOGIN": [1, 10]}'
    rate_limits: dict[str, tuple[float, int]] = Field(default_factory=dict)

    max_connections: int = Field(8_192, ge=1, description="Connections of each worker; more are closed at once.")
    max_calls_of_address: int = Field(
        256, ge=1, le=512, description="Unary calls that an address may have open on a worker, of 512 in all."
    )
    max_streams_of_address: int = Field(
        8_000, ge=1, le=16_000, description="Streams that an address may have open on a worker, of 16,000 in all."
    )
    max_streams_of_account: int = Field(
        100,
        ge=1,
        description="Streams that an account may have open on a worker; services are free of it.",
    )

    # Answers that are the same for every caller are kept this long at most; 0 keeps none.
    answer_cache_seconds: float = Field(1.0, ge=0, le=1)

    failpoints: Path | None = Field(
        None, description="For tests: a folder whose files end this process at named points. Refused in production."
    )

    log_level: str = "INFO"
    access_log: bool | None = Field(None, description="A JSON line an rpc on standard error; on in production.")
    log_format: str = Field("auto", pattern="^(auto|json|console)$")

    @classmethod
    def read(cls, **given: Any) -> Self:
        """The settings of the environment and of the files in MARKETD_SECRETS_DIR; `given` goes before both.

        Raises pydantic's ValidationError.
        """
        # A folder that is not there is one of the problems, and needs no warning besides.
        folder = os.environ.get("MARKETD_SECRETS_DIR", "")
        return cls(_secrets_dir=folder if Path(folder).is_dir() else None, **given)

    @field_validator("*", mode="before")
    @classmethod
    def _durations_in_both_forms(cls, value: object, field: ValidationInfo) -> object:
        """Seconds and ISO 8601 for every duration; see forms.duration."""
        name = field.field_name
        if name is None or cls.model_fields[name].annotation is not timedelta or not isinstance(value, str):
            return value
        return duration(value)

    @field_validator("gateway_origins")
    @classmethod
    def _origins_of_browsers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return origins(value)

    @field_validator("gateway_upstreams")
    @classmethod
    def _with_their_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for upstream in value:
            split_port(upstream)
        return value

    @field_validator("host", "gateway_host")
    @classmethod
    def _a_host_alone(cls, value: str | None) -> str | None:
        return None if value is None else bare_host(value)

    @field_validator("currency")
    @classmethod
    def _money_to_pay_with(cls, value: str) -> str:
        if value not in CURRENCY_DIGITS:
            raise ValueError("must be the ISO 4217 code of a currency with 0, 2 or 3 decimal digits, such as EUR")
        return value

    @field_validator("hang_seconds")
    @classmethod
    def _longer_than_a_few_beats(cls, value: float) -> float:
        if 0 < value < 3:
            raise ValueError("must be 0 or at least 3: a worker says once a second that it lives")
        return value

    @field_validator("database_url")
    @classmethod
    def _postgres_only(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        return value

    @field_validator("media_url")
    @classmethod
    def _takes_a_file_name(cls, value: str) -> str:
        if not value.startswith(("https://", "http://", "/")) or set(value) & set("?#{} "):
            raise ValueError("must be a path or a web address, such as /media/ or https://cdn.shop.example/media/")
        return value.rstrip("/") + "/"

    @field_validator("media_bucket_public_url")
    @classmethod
    def _where_a_browser_can_go(cls, value: str | None) -> str | None:
        return None if value is None else public_folder(value)

    @field_validator("rate_limits")
    @classmethod
    def _known_and_positive(cls, value: dict[str, tuple[float, int]]) -> dict[str, tuple[float, int]]:
        for name, (per_second, burst) in value.items():
            if name not in STRICT_LIMITS:
                raise ValueError(f"{name} is no class; there are {', '.join(STRICT_LIMITS)}")
            if per_second <= 0 or burst < 1:
                raise ValueError(f"{name} must have a positive rate and a burst of at least one call")
        return value

    @field_validator("password_reset_url")
    @classmethod
    def _takes_the_token(cls, value: str) -> str:
        if value and (not value.startswith(("https://", "http://")) or "{token}" not in value):
            raise ValueError("must be a web address with {token} in it")
        return value

    @field_validator("public_url")
    @classmethod
    def _a_web_address(cls, value: str) -> str:
        if value and (not value.startswith(("https://", "http://")) or set(value) & set("?#{} ")):
            raise ValueError("must be a web address without ? and #, such as https://shop.example")
        return value.rstrip("/")

    @property
    def mail_folder(self) -> Path:
        """Where letters are kept when no SMTP server takes them."""
        return self.mail_dir or self.data_dir / "mail"

    @property
    def media_folder(self) -> Path:
        """Where pictures are kept without a bucket: one folder belongs to one database, so another one has its own."""
        if self.media_dir is not None:
            return self.media_dir
        return Path("media") if self.data_dir == DATA_DIR else self.data_dir / "media"

    @property
    def gateway_address(self) -> tuple[str, int]:
        """Where the gateway listens: host and port, 0 for a free one."""
        port = self.gateway_port
        if port is None:
            port = min(self.port + 1, 65_535) if self.port else 0
        return self.gateway_host or self.host, port

    @property
    def production(self) -> bool:
        """Whether production's rules hold."""
        return self.env is Environment.PRODUCTION

    @property
    def sends_sms(self) -> bool:
        """Whether an SMS reaches anybody: a provider's does, and while trying out the log's reader is who asked."""
        return self.sms_sender is not None or not self.production

    @property
    def show_reflection(self) -> bool:
        """Reflection is on unless in production, or as told."""
        return not self.production if self.reflection is None else self.reflection

    @property
    def show_channelz(self) -> bool:
        """channelz is on unless in production, or as told."""
        return not self.production if self.channelz is None else self.channelz

    @property
    def show_access_log(self) -> bool:
        """The access log is on in production, or as told."""
        return self.production if self.access_log is None else self.access_log

    def limits(self) -> dict[str, tuple[float, int]]:
        """Calls a second and burst by rate class: strict in production, generous elsewhere, and as told."""
        base = STRICT_LIMITS if self.production else dict.fromkeys(STRICT_LIMITS, (100_000.0, 200_000))
        return {**base, **self.rate_limits}

    def derive(self, purpose: str) -> bytes:
        """A 32-byte key for one purpose, made of the secret (HKDF-like, RFC 5869's expand step)."""
        return hmac.digest(self.secret.get_secret_value().encode(), purpose.encode() + b"\x01", hashlib.sha256)
