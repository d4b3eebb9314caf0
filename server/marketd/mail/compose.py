"""From rendered content to a mail message (RFC 5322): headers, text and HTML as alternatives."""

from __future__ import annotations

from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from marketd.mail.errors import MailMisconfigured, MessageRefused
from marketd.mail.ports import Letter
from marketd.mail.render import Content

# What Address raises for texts that are none: it depends on the text and on Python's version.
_NO_ADDRESS = (ValueError, IndexError, MessageError)


def sender_address(text: str, shop_name: str) -> Address:
    """The sender as the settings say: `mail@shop.example` or `Name <mail@shop.example>`. Raises MailMisconfigured."""
    name, address = parseaddr(text)
    try:
        return Address(name or shop_name, addr_spec=address)
    except _NO_ADDRESS as error:
        raise MailMisconfigured("MARKETD_MAIL_FROM is not an e-mail address.") from error


def is_address(text: str) -> bool:
    """Whether a letter can be sent there; the contract's rule for addresses lets a few pass that mail does not."""
    try:
        Address(addr_spec=text)
    except _NO_ADDRESS:
        return False
    return True


def compose(content: Content, *, letter_id: str, template: str, sender: Address, to: str, now: datetime) -> Letter:
    """The letter, ready to go. Raises MessageRefused when `to` is no e-mail address.

    The Message-ID is made of `letter_id`: when a letter goes out twice after a crash, mailboxes show it once.
    """
    try:
        recipient = Address(addr_spec=to)
    except _NO_ADDRESS:
        raise MessageRefused("the recipient's address is not one") from None
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = content.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{letter_id}@{sender.domain}>"
    # RFC 3834: holiday notes and the like are not to answer a machine.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(content.text)
    message.add_alternative(content.html, subtype="html")
    # Last: whatever sets the content removes the headers that describe it.
    message["Content-Language"] = content.locale
    return Letter(letter_id, template, message)
