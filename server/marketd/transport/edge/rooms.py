"""Rooms for open calls: how many of one sort there may be, in all and from one address."""

from __future__ import annotations

from typing import Protocol

from marketd.kernel.call.refusals import Overloaded


class Guest(Protocol):
    """A call, as a room sees it: by whom its address stands for."""

    @property
    def network(self) -> str: ...


class Room:
    """Knows the calls that are in it, and how many of them an address has (as network_of counts addresses).

    Where many honest people share an address they share its part of the room; what they get beyond it is OVERLOADED
    with the time to wait. They are counted by address only when one could have its part: every call passes here.
    """

    __slots__ = ("_guests", "_most", "_most_of_address")

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._guests: dict[Guest, None] = {}

    def enter(self, guest: Guest) -> None:
        """Take a place. Raises Overloaded, and then there is none to leave."""
        guests = self._guests
        if len(guests) >= self._most_of_address:
            network = guest.network
            if len(guests) >= self._most or sum(other.network == network for other in guests) >= self._most_of_address:
                raise Overloaded
        guests[guest] = None

    def leave(self, guest: Guest) -> None:
        """Give the place back."""
        del self._guests[guest]
