"""From a template's name and its values to what a person reads: subject, text and HTML of a letter, or an SMS.

Templates live in `templates/<locale>/`: `<name>.txt` (its first line is the subject), `<name>.html`, `<name>.sms`. A
shop's own folder goes before ours, file by file, so that a shop can word one letter anew or add a language.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from jinja2 import Template, TemplateNotFound

from marketd.mail.environment import environment_of, locales, visible

MAX_SUBJECT = 150

# Letters, and what stands between them in names. Anybody may register another's address under a "name" that advertises
# something; such a name is left out.
_NAME = re.compile(r"[^\W\d_](?:[^\W\d_]|['\u2019 -]){0,39}")


class Wording(StrEnum):
    """The messages there are, and the values each takes.

    Those marked * must be there; times are ISO 8601. Every letter greets by `name`, when that looks like one.
    """

    VERIFICATION_CODE = "verification_code"
    """code*, minutes. As a letter or an SMS."""
    PASSWORD_RESET = "password_reset"  # noqa: S105 - a template's name
    """token*, minutes, undone. With MARKETD_PASSWORD_RESET_URL it shows a link, else the token itself.

    With `undone` nobody asked for it: a change of the e-mail address was taken back, and the password is void.
    """
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a template's name
    """time*, address."""
    EMAIL_CHANGED = "email_changed"
    """time*, email (the new one, masked), address, token, hours, undone. To the former e-mail address.

    With a token it says how the change is taken back: with MARKETD_PUBLIC_URL by a link, else by the token itself.
    With `undone` it says that one was, to the address that the account loses by that.
    """
    PHONE_CHANGED = "phone_changed"
    """time*, phone (the new one, masked; empty when there is none), address."""
    TOTP_ENABLED = "totp_enabled"
    """time*."""
    TOTP_DISABLED = "totp_disabled"
    """time*."""
    NEW_SIGN_IN = "new_sign_in"
    """time*, device, address."""
    ACCOUNT_BLOCKED = "account_blocked"
    """time*."""
    SHOP_CHANGED = "shop_changed"
    """time*, shop_name*, change* (rejected, suspended, reinstated, closed), reason."""
    COURIER_CHANGED = "courier_changed"
    """time*, change* (rejected, suspended, reinstated, closed), reason."""


@dataclass(frozen=True, slots=True)
class Shop:
    """Who writes: shown in every message. The pages have `{token}` where the token goes; empty: no link.

    `reset_url` is for a new password, `undo_url` for taking back a change of the e-mail address.
    """

    name: str
    support: str = ""
    reset_url: str = ""
    undo_url: str = ""

    def link(self, name: str, token: str) -> str:
        """The page that takes the token of this letter; empty when there is none."""
        url = {Wording.PASSWORD_RESET: self.reset_url, Wording.EMAIL_CHANGED: self.undo_url}.get(Wording(name), "")
        return url.replace("{token}", quote(token, safe="")) if token else ""


@dataclass(frozen=True, slots=True)
class Content:
    """A rendered letter."""

    subject: str
    text: str
    html: str
    locale: str


class Renderer:
    """Renders the templates for one shop. Values are data: they are escaped in HTML and cannot bring template code."""

    def __init__(self, shop: Shop, own_templates: Path | None = None) -> None:
        """`own_templates`: a folder like ours, whose files go before ours."""
        self._environment = environment_of("marketd.mail", own_templates)
        self._shop = shop

    def letter(self, name: str, locale: str, values: Mapping[str, str]) -> Content:
        """Render a letter. Raises jinja2's UndefinedError for a missing value, TemplateNotFound for a wrong name."""
        given = self._given(name, values)
        text_template, found = self._find(name, ".txt", locale)
        html_template, _ = self._find(name, ".html", locale)
        first, _, text = text_template.render(given).partition("\n")
        subject = " ".join(first.split())[:MAX_SUBJECT]
        html = html_template.render(given, locale=found, subject=subject)
        return Content(subject, text.strip() + "\n", html, found)

    def sms(self, name: str, locale: str, values: Mapping[str, str]) -> str:
        """Render an SMS; the same errors."""
        template, _ = self._find(name, ".sms", locale)
        return " ".join(template.render(self._given(name, values)).split())

    def _given(self, template: str, values: Mapping[str, str]) -> dict[str, object]:
        given: dict[str, object] = {key: visible(value) for key, value in values.items()}
        name = values.get("name", "")
        given["greeted"] = name if _NAME.fullmatch(name) else ""
        given["link"] = self._shop.link(template, values.get("token", ""))
        given["shop"] = self._shop
        return given

    def _find(self, name: str, ending: str, locale: str) -> tuple[Template, str]:
        """The template in the nearest language: `de-AT`, `de`, then our own."""
        for candidate in locales(locale):
            try:
                return self._environment.get_template(f"{candidate}/{Wording(name).value}{ending}"), candidate
            except TemplateNotFound:
                continue
        raise TemplateNotFound(f"{name}{ending}")
