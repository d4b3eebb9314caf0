"""From where an account signs in: which lane before the hash its device and network have earned it.

One statement with an index answers, for names that nobody has as well. A device's name alone is easily guessed, and
lists of people's logins are sold; an address in the right network is not. So both together are worth most.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from marketd.auth.accounts.hash_queue import STRANGER, Asker, Lane
from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.values import Account
from marketd.auth.sessions.repository import sessions
from marketd.kernel.call.network import SITE_BITS, network_of
from marketd.kernel.db.database import Connection

_NOBODY: Final = UUID(int=0)
_IPV4_BITS: Final = 24


async def asker_of(connection: Connection, account: Account | None, device_name: str, address: str) -> Asker:
    """Who asks to be signed in, before the password is looked at; None (no such account) is a stranger."""
    is_somebody = account is not None and account.state is not AccountState.DELETED
    user_id = account.user_id if account is not None and is_somebody else _NOBODY
    addresses = await sessions.addresses_of_device(connection, user_id, device_name)
    if not addresses:
        return STRANGER
    is_here = network_of_origin(address) in map(network_of_origin, addresses)
    return Asker(Lane.KNOWN if is_here else Lane.DEVICE, user_id)


def network_of_origin(address: str) -> str:
    """Within what people's addresses change from day to day: the /24 of IPv4 and the /56 of IPv6 (RFC 6177).

    What is no address stands for itself.
    """
    return network_of(address, SITE_BITS, _IPV4_BITS)
