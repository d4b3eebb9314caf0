"""What is wrong with settings, or likely to be, in sentences that say what to do."""

from __future__ import annotations

from typing import Final

from marketd.config import DEVELOPMENT_SECRET, Settings

MINIMUM_SECRET_LENGTH: Final = 32
MINIMUM_SECRET_CHARACTERS: Final = 8
PRODUCTION_BCRYPT_COST: Final = 12
_LAST_PORT: Final = 65_535


def problems_of(settings: Settings) -> list[str]:
    """What keeps a server from starting with the settings."""
    found = _contradictions(settings)
    if settings.production:
        found += _weak_secrets(settings)
        found += _only_for_trying_out(settings)
    return found


def advice_of(settings: Settings) -> list[str]:
    """What is no mistake for certain, but mostly one; it is said at the start and keeps nobody from starting."""
    found: list[str] = []
    if settings.production and settings.tls_terminated_by_proxy and not settings.trusted_proxy_hops:
        found.append(
            "MARKETD_TRUSTED_PROXY_HOPS is 0 and a proxy ends TLS: limits and the audit log take every caller for "
            "that proxy; set it to the number of proxies in front."
        )
    behind_proxy = settings.production and settings.gateway and settings.gateway_tls_cert_file is None
    if behind_proxy and not settings.gateway_trusted_hops:
        found.append(
            "MARKETD_GATEWAY_TRUSTED_HOPS is 0 and a proxy ends TLS: limits and the audit log take everybody who "
            "comes through the gateway for that proxy; set it to the number of proxies in front of the gateway."
        )
    if not settings.sends_sms:
        found.append("MARKETD_SMS_SENDER is not set: nobody gets a code by SMS, so phones cannot be verified.")
    if settings.production and not settings.support_email:
        found.append(
            "MARKETD_SUPPORT_EMAIL is not set: letters about blocked accounts and second factors name nobody to "
            "write to."
        )
    return found


def _contradictions(settings: Settings) -> list[str]:
    """What cannot be meant, wherever the server runs."""
    found: list[str] = []
    if settings.secrets_dir is not None and not settings.secrets_dir.is_dir():
        found.append("MARKETD_SECRETS_DIR is not a folder; name the one that holds the secrets' files.")
    if (settings.tls_cert_file is None) is not (settings.tls_key_file is None):
        found.append("MARKETD_TLS_CERT_FILE and MARKETD_TLS_KEY_FILE go together; set both or neither.")
    if (settings.gateway_tls_cert_file is None) is not (settings.gateway_tls_key_file is None):
        found.append("MARKETD_GATEWAY_TLS_CERT_FILE and MARKETD_GATEWAY_TLS_KEY_FILE go together; set both or neither.")
    if settings.gateway_port is None and settings.port == _LAST_PORT:
        found.append("MARKETD_PORT is the last one, so the gateway has none behind it; set MARKETD_GATEWAY_PORT.")
    if settings.gateway and settings.port and settings.gateway_address == (settings.host, settings.port):
        found.append("MARKETD_GATEWAY_PORT is MARKETD_PORT, and both listen there; choose another for one of them.")
    if settings.tls_client_ca_file is not None and settings.tls_cert_file is None:
        found.append("MARKETD_TLS_CLIENT_CA_FILE needs MARKETD_TLS_CERT_FILE and MARKETD_TLS_KEY_FILE.")
    if (settings.media_bucket_key_id is None) is not (settings.media_bucket_key is None):
        found.append("MARKETD_MEDIA_BUCKET_KEY_ID and MARKETD_MEDIA_BUCKET_KEY go together; set both or neither.")
    if settings.media_bucket_url is None:
        found += [
            f"{name} needs MARKETD_MEDIA_BUCKET_URL, which says which bucket is meant."
            for name, value in {
                "MARKETD_MEDIA_BUCKET_ENDPOINT": settings.media_bucket_endpoint,
                "MARKETD_MEDIA_BUCKET_REGION": settings.media_bucket_region,
                "MARKETD_MEDIA_BUCKET_PUBLIC_URL": settings.media_bucket_public_url,
                "MARKETD_MEDIA_BUCKET_KEY": settings.media_bucket_key,
            }.items()
            if value is not None
        ]
    if settings.tls_client_ca_file is None:
        needy = {
            "MARKETD_TLS_SERVICES": bool(settings.tls_services),
            "MARKETD_INTERNAL_PORT": settings.internal_port is not None,
            "MARKETD_INTERNAL_COMPRESSION": settings.internal_compression,
        }
        found += [
            f"{name} needs MARKETD_TLS_CLIENT_CA_FILE, which says whose certificates count."
            for name, is_set in needy.items()
            if is_set
        ]
    return found


def _weak_secrets(settings: Settings) -> list[str]:
    found: list[str] = []
    for name, value in (("MARKETD_SECRET", settings.secret), ("MARKETD_PASSWORD_PEPPER", settings.password_pepper)):
        text = value.get_secret_value().strip()
        if DEVELOPMENT_SECRET in text:
            found.append(
                f"{name} is not set, or is the one for trying out; set it to at least {MINIMUM_SECRET_LENGTH} "
                "random characters."
            )
        elif len(text) < MINIMUM_SECRET_LENGTH:
            found.append(f"{name} is too short; use at least {MINIMUM_SECRET_LENGTH} random characters.")
        elif len(set(text)) < MINIMUM_SECRET_CHARACTERS:
            found.append(f"{name} repeats a few characters; use at least {MINIMUM_SECRET_LENGTH} random ones.")
    if settings.secret == settings.password_pepper and settings.secret.get_secret_value() != DEVELOPMENT_SECRET:
        found.append("MARKETD_SECRET and MARKETD_PASSWORD_PEPPER are equal; make two.")
    if settings.bcrypt_cost < PRODUCTION_BCRYPT_COST:
        found.append(
            f"MARKETD_BCRYPT_COST is {settings.bcrypt_cost}; production needs {PRODUCTION_BCRYPT_COST} or more."
        )
    return found


def _only_for_trying_out(settings: Settings) -> list[str]:
    found: list[str] = []
    if settings.failpoints is not None:
        found.append("MARKETD_FAILPOINTS is set; it makes the server kill itself, for tests only; unset it.")
    if settings.demo:
        found.append("MARKETD_DEMO is set; it tells everybody of accounts with known passwords; unset it.")
    if settings.database_url is None and not settings.allow_embedded_in_production:
        found.append(
            "MARKETD_DATABASE_URL is not set; set it, or MARKETD_ALLOW_EMBEDDED_IN_PRODUCTION=true to keep the "
            "embedded PostgreSQL."
        )
    if settings.tls_cert_file is None and not settings.tls_terminated_by_proxy:
        found.append(
            "there is no TLS; set MARKETD_TLS_CERT_FILE and MARKETD_TLS_KEY_FILE, or "
            "MARKETD_TLS_TERMINATED_BY_PROXY=true when a proxy in front of the server speaks it."
        )
    if settings.gateway and settings.gateway_tls_cert_file is None and not settings.tls_terminated_by_proxy:
        found.append(
            "the gateway has no TLS; set MARKETD_GATEWAY_TLS_CERT_FILE and MARKETD_GATEWAY_TLS_KEY_FILE, or "
            "MARKETD_TLS_TERMINATED_BY_PROXY=true when a proxy in front of it speaks it."
        )
    if (settings.media_bucket_endpoint or "").startswith("http://"):
        found.append(
            "MARKETD_MEDIA_BUCKET_ENDPOINT begins with http://, and private pictures would travel open; use https://."
        )
    if (settings.media_bucket_public_url or "").startswith("http://"):
        found.append(
            "MARKETD_MEDIA_BUCKET_PUBLIC_URL begins with http://, and browsers load no such pictures into pages of "
            "https://; use https://."
        )
    if settings.smtp_url is None and settings.mail_dir is None:
        found.append(
            "MARKETD_SMTP_URL is not set, so nobody would get a letter; set it, or MARKETD_MAIL_DIR when something "
            "picks the letters up from a folder."
        )
    if settings.password_reset_url.startswith("http://"):
        found.append("MARKETD_PASSWORD_RESET_URL begins with http://, and it carries tokens; use https://.")
    if settings.public_url.startswith("http://"):
        found.append("MARKETD_PUBLIC_URL begins with http://, and links with tokens lead there; use https://.")
    if settings.smtp_url is not None and settings.mail_from.rstrip("> ").endswith("@localhost"):
        found.append("MARKETD_MAIL_FROM is not set; set it to the address that the shop writes from.")
    return found
