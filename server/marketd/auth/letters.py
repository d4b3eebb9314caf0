"""What auth writes to people, as jobs of the transaction that is the reason: sent after its commit, again until taken.

Codes and reset tokens would otherwise lie readable in the job table, and in dead letters and backups when a mail server
is away for long. So those values are sealed (AES-GCM, a key of their own made of MARKETD_SECRET), and `reveal` opens
them at the moment of rendering. To derive them from a row at sending time was the other way; it would have tied the
sending of mail to auth's tables. What was sealed is worthless in half an hour anyway.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta

from marketd.auth.accounts.values import Account
from marketd.auth.codes.model import VerificationChannel
from marketd.config import Settings
from marketd.kernel.call import call as calls
from marketd.kernel.call.seal import Seal, SealBroken
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.slice import Parts
from marketd.mail.environment import DEFAULT_LOCALE
from marketd.mail.jobs import SEALED, mail_job, sms_job, tell
from marketd.mail.render import Wording

_CONTEXT = "letter"


def letters_of(settings: Settings) -> Letters:
    """The letters of a marketplace with these settings."""
    return Letters(Seal(settings.derive("letters")), sends_sms=settings.sends_sms)


def revealer(parts: Parts) -> Callable[[str], str]:
    """What mail opens sealed values with."""
    return letters_of(parts.settings).reveal


class Letters:
    """Writes letters and short messages, and opens what was sealed in them.

    `sends_sms` is False where nothing would carry a short message: whoever asks for one is told so then.
    """

    def __init__(self, seal: Seal, *, sends_sms: bool = True) -> None:
        self._seal = seal
        self.sends_sms = sends_sms

    def verification_code(
        self, uow: UnitOfWork, account: Account, channel: VerificationChannel, to: str, code: str, lifetime: timedelta
    ) -> None:
        """The code, by e-mail or SMS."""
        job = mail_job if channel is VerificationChannel.EMAIL else sms_job
        values = {"code": self._sealed(code), "minutes": _minutes(lifetime)}
        end = uow.now + lifetime
        uow.enqueue(job(Wording.VERIFICATION_CODE, to, values, locale=language_of(account), expire_time=end))

    def password_reset(
        self,
        uow: UnitOfWork,
        email: str,
        token: str,
        lifetime: timedelta,
        *,
        language: str,
        to_nobody: bool = False,
        undone: bool = False,
    ) -> None:
        """The way back into the account. `to_nobody`: the same work, and nobody gets it.

        `undone`: not asked for, but because a change of the e-mail address was taken back, and the password with it.
        """
        values = {"token": self._sealed(token), "minutes": _minutes(lifetime), **_undone(undone)}
        end = uow.now + lifetime
        job = mail_job(
            Wording.PASSWORD_RESET,
            email,
            values,
            locale=language or DEFAULT_LOCALE,
            expire_time=end,
            to_nobody=to_nobody,
        )
        uow.enqueue(job)

    def password_changed(self, uow: UnitOfWork, account: Account, address: str) -> None:
        """That the password was changed, from where."""
        _tell(uow, account, Wording.PASSWORD_CHANGED, address=address)

    def email_changed(
        self,
        uow: UnitOfWork,
        account: Account,
        new: str,
        address: str,
        undo_token: str = "",
        lifetime: timedelta = timedelta(0),
    ) -> None:
        """To the address before: that there is another now, from where; whoever reads it need not learn it whole.

        With a token: how to take it back, and for how long.
        """
        undo = {"token": self._sealed(undo_token), "hours": _hours(lifetime)} if undo_token else {}
        _tell(uow, account, Wording.EMAIL_CHANGED, email=_masked(new), address=address, **undo)

    def email_restored(self, uow: UnitOfWork, account: Account, restored: str, address: str) -> None:
        """To the address that the account loses: that its change was taken back, from where."""
        _tell(uow, account, Wording.EMAIL_CHANGED, email=_masked(restored), address=address, **_undone(True))

    def phone_changed(self, uow: UnitOfWork, account: Account, new: str, address: str) -> None:
        """That the account has another phone, from where; none when `new` is empty."""
        _tell(uow, account, Wording.PHONE_CHANGED, phone=_masked_phone(new), address=address)

    def totp_changed(self, uow: UnitOfWork, account: Account, *, enabled: bool) -> None:
        """That a code is needed to sign in from now on, or no longer."""
        _tell(uow, account, Wording.TOTP_ENABLED if enabled else Wording.TOTP_DISABLED)

    def new_sign_in(self, uow: UnitOfWork, account: Account, device: str, address: str) -> None:
        """That somebody signed in from where nobody did before.

        Only to verified addresses: whoever registers with a stranger's could fill the stranger's mailbox with these.
        """
        if account.email_verified:
            _tell(uow, account, Wording.NEW_SIGN_IN, device=device, address=address)

    def account_blocked(self, uow: UnitOfWork, account: Account) -> None:
        """That the account is blocked. The admin's reason is for the audit log, and may speak of others."""
        _tell(uow, account, Wording.ACCOUNT_BLOCKED)

    def reveal(self, text: str) -> str:
        """The value behind a sealed text (it begins with SEALED). Raises SealBroken."""
        try:
            raw = base64.b64decode(text.removeprefix(SEALED), validate=True)
        except ValueError as error:
            raise SealBroken from error
        return self._seal.open(raw, _CONTEXT).decode()

    def _sealed(self, value: str) -> str:
        return SEALED + base64.b64encode(self._seal.close(value.encode(), _CONTEXT)).decode()


def _tell(uow: UnitOfWork, account: Account, wording: Wording, **values: str) -> None:
    tell(uow, wording, account.email, account.full_name, language_of(account), **values)


def language_of(account: Account) -> str:
    """The language to write to the account in: its own, else that of the call, else the templates' first."""
    return account.language_code or calls.current().language or DEFAULT_LOCALE


def _masked(email: str) -> str:
    """`j…@shop.example`"""
    local, _, domain = email.partition("@")
    return f"{local[:1]}…@{domain}"


def _masked_phone(phone: str) -> str:
    """`…4567`"""
    return f"…{phone[-4:]}" if phone else ""


def _undone(undone: bool) -> dict[str, str]:
    """The value that the templates ask for; absent when it does not hold."""
    return {"undone": "true"} if undone else {}


def _hours(lifetime: timedelta) -> str:
    return str(int(lifetime.total_seconds()) // 3600)


def _minutes(lifetime: timedelta) -> str:
    return str(int(lifetime.total_seconds()) // 60)
