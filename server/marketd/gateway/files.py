"""What Envoy needs on disk to run: the contract, its configuration, and how it is started with them."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

from marketd.config import Settings
from marketd.gateway.descriptors import rest_descriptors
from marketd.gateway.envoy.build import configuration
from marketd.gateway.envoy.tls import secret
from marketd.gateway.gateway import DESCRIPTORS, DOCS, OPENAPI, Gateway
from marketd.gateway.openapi.document import written
from marketd.transport.descriptors import contract

CONFIGURATION: Final = "envoy.json"
_PAIR: Final = "certificate.json"
_PACKAGE: Final = "marketplace."
_PAGES: Final = "marketd.gateway.pages"
_LEVELS: Final = {"DEBUG": "info", "INFO": "warning", "WARNING": "warning", "ERROR": "error", "CRITICAL": "critical"}
_JSON_LINE: Final = '{"timestamp":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","event":"envoy","part":"%n","message":"%j"}'
_PLAIN_LINE: Final = "%Y-%m-%dT%H:%M:%S.%eZ [%l] envoy %n: %v"


def services() -> list[str]:
    """The full names of the contract's services, all of which have REST paths."""
    return sorted(
        f"{file.package}.{service.name}"
        for file in contract().values()
        if file.package.startswith(_PACKAGE)
        for service in file.service
    )


def document(gateway: Gateway) -> dict[str, Any]:
    """The configuration of the gateway, for the contract of this version."""
    return configuration(gateway, services())


def as_yaml(gateway: Gateway) -> str:
    """The configuration as text. Needs PyYAML, which comes with the extra `gateway`."""
    import yaml  # noqa: PLC0415 - who only serves does without

    return yaml.safe_dump(document(gateway), sort_keys=False, allow_unicode=True, width=120)


def write_named_files(folder: Path) -> None:
    """Write what every configuration names into the folder: the contract, its OpenAPI document, the pages."""
    (folder / DESCRIPTORS).write_bytes(rest_descriptors().SerializeToString(deterministic=True))
    (folder / OPENAPI).write_bytes(written(services()))
    # Copies: Envoy reads plain files, which those of a package need not be.
    pages = folder / DOCS
    pages.mkdir(exist_ok=True)
    for page in resources.files(_PAGES).joinpath(DOCS).iterdir():
        (pages / page.name).write_bytes(page.read_bytes())


def write_files(gateway: Gateway, folder: Path) -> Path:
    """Write the configuration and all that it names into the folder; returns the path of the configuration."""
    write_named_files(folder)
    made = replace(gateway, descriptors=folder / DESCRIPTORS, openapi=folder / OPENAPI, docs=folder / DOCS)
    if made.tls_cert_file is not None:
        made = replace(made, tls_secret=folder / _PAIR)
        (folder / _PAIR).write_text(json.dumps(secret(made), indent=1))
    path = folder / CONFIGURATION
    path.write_text(json.dumps(document(made), indent=1))
    return path


def command_line(envoy: Path, configured: Path, settings: Settings, *, is_json: bool) -> list[str]:
    """How Envoy is started."""
    return [
        str(envoy),
        "--config-path",
        str(configured),
        # Without it two gateways of one machine would share memory, and one would end the other.
        "--disable-hot-restart",
        "--concurrency",
        str(settings.gateway_threads),
        # Of the access log; ten seconds is long for who waits for a line.
        "--file-flush-interval-msec",
        "1000",
        "--drain-time-s",
        "5",
        "--drain-strategy",
        "immediate",
        "--log-level",
        _LEVELS.get(settings.log_level.upper(), "warning"),
        # It would warn of each end that it was asked for, and at each start, eighty times, that its file server is new.
        "--component-log-level",
        "main:error,misc:error",
        "--log-format",
        _JSON_LINE if is_json else _PLAIN_LINE,
    ]
