"""The jobs `mail.send` and `sms.send`: written in the unit of work that they tell about, done outside of any.

A payload holds `message_id`, `template`, `to`, `locale`, `values`, `to_nobody` and perhaps `expire_time`. Values that
are secret (codes, tokens) are sealed by whoever writes the job, so that neither the table nor a dump of it gives them
away: such a text begins with SEALED, and `reveal` makes it readable again just before it is rendered. How it is sealed
is up to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from email.headerregistry import Address
from typing import Final

import structlog

from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job, Json
from marketd.kernel.values.clock import Clock
from marketd.kernel.values.ids import new_id
from marketd.kernel.work.jobs import Payload
from marketd.mail.compose import compose
from marketd.mail.environment import DEFAULT_LOCALE
from marketd.mail.errors import MessageRefused
from marketd.mail.ports import Mailer, ShortMessage, SmsSender
from marketd.mail.render import Renderer, Wording

_log = structlog.get_logger(__name__)

MAIL: Final = "mail.send"
SMS: Final = "sms.send"
SEALED: Final = "sealed:"
# Pauses double from 2 s up to 5 minutes: this many tries last for about an hour.
MAX_ATTEMPTS: Final = 18


def mail_job(
    template: Wording,
    to: str,
    values: Mapping[str, str],
    *,
    locale: str = DEFAULT_LOCALE,
    expire_time: datetime | None = None,
    to_nobody: bool = False,
) -> Job:
    """A letter, to be given to `uow.enqueue`. After `expire_time` (a code's end, say) it is not sent any more.

    `to_nobody`: all the work of a letter is done, but nobody carries it; so the load does not tell whether there is
    somebody to write to.
    """
    return _job(MAIL, template, to, values, locale, expire_time, to_nobody=to_nobody)


def tell(uow: UnitOfWork, template: Wording, to: str, name: str, locale: str, **values: str) -> None:
    """Write a letter about something that happens in this unit of work; it greets by `name` and says when."""
    uow.enqueue(mail_job(template, to, {"name": name, "time": uow.now.isoformat(), **values}, locale=locale))


def sms_job(
    template: Wording,
    to: str,
    values: Mapping[str, str],
    *,
    locale: str = DEFAULT_LOCALE,
    expire_time: datetime | None = None,
) -> Job:
    """A short message; `to` in E.164. Otherwise like `mail_job`."""
    return _job(SMS, template, to, values, locale, expire_time)


def _job(
    kind: str,
    template: Wording,
    to: str,
    values: Mapping[str, str],
    locale: str,
    expire_time: datetime | None,
    *,
    to_nobody: bool = False,
) -> Job:
    payload: dict[str, Json] = {
        # One id for all tries at the job: mailboxes, folders and providers know a repeat by it.
        "message_id": str(new_id()),
        "template": template.value,
        "to": to,
        "locale": locale,
        "values": dict(values),
        "to_nobody": to_nobody,
    }
    if expire_time is not None:
        payload["expire_time"] = expire_time.isoformat()
    return Job(kind=kind, payload=payload, max_attempts=MAX_ATTEMPTS)


class MessageJobs:
    """Does the jobs: reveals, renders, and hands over.

    An error that may pass is raised, and the job runner tries again later; what will never be taken is logged, without
    its recipient, and dropped.
    """

    def __init__(
        self,
        *,
        renderer: Renderer,
        mailer: Mailer,
        sms: SmsSender,
        sender: Address,
        reveal: Callable[[str], str],
        clock: Clock,
    ) -> None:
        self._renderer = renderer
        self._mailer = mailer
        self._sms = sms
        self._sender = sender
        self._reveal = reveal
        self._clock = clock

    async def send_letter(self, payload: Payload) -> None:
        """Send a letter. Raises MailUnavailable when it has to be tried again."""
        if self._is_late(payload):
            return
        template = _text(payload, "template")
        content = self._renderer.letter(template, _text(payload, "locale"), self._values(payload))
        try:
            letter = compose(
                content,
                letter_id=_text(payload, "message_id"),
                template=template,
                sender=self._sender,
                to=_text(payload, "to"),
                now=self._clock.now(),
            )
            if not payload.get("to_nobody"):
                await self._mailer.send(letter)
        except MessageRefused as refused:
            _log.warning("letter_refused", template=template, why=str(refused))

    async def send_sms(self, payload: Payload) -> None:
        """Send an SMS. Raises MailUnavailable when it has to be tried again."""
        if self._is_late(payload):
            return
        template = _text(payload, "template")
        text = self._renderer.sms(template, _text(payload, "locale"), self._values(payload))
        try:
            await self._sms.send(ShortMessage(_text(payload, "message_id"), template, _text(payload, "to"), text))
        except MessageRefused as refused:
            _log.warning("sms_refused", template=template, why=str(refused))

    def _values(self, payload: Payload) -> dict[str, str]:
        values = payload["values"]
        if not isinstance(values, dict):
            raise TypeError("the values of a message must be a mapping")
        texts = {key: str(value) for key, value in values.items()}
        return {key: self._reveal(text) if text.startswith(SEALED) else text for key, text in texts.items()}

    def _is_late(self, payload: Payload) -> bool:
        expire_time = payload.get("expire_time")
        late = isinstance(expire_time, str) and datetime.fromisoformat(expire_time) <= self._clock.now()
        if late:
            _log.info("message_expired", template=payload.get("template"))
        return late


def _text(payload: Payload, key: str) -> str:
    value = payload[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} of a message must be a text")
    return value
