"""Rooms for open calls: how many of one sort there may be, in all and from one address."""

from __future__ import annotations

from marketd.kernel.call.refusals import Overloaded


class Room:
    """Counts the calls that are in it, and those of each address (as network_of counts addresses).

    Where many honest people share an address they share its part of the room; what they get beyond it is OVERLOADED
    with the time to wait.
    """

    __slots__ = ("_most", "_most_of_address", "_of_address", "count")

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._of_address: dict[str, int] = {}
        self.count = 0

    def enter(self, network: str) -> None:
        """Take a place. Raises Overloaded, and then there is none to leave."""
        mine = self._of_address.get(network, 0) + 1
        if self.count >= self._most or mine > self._most_of_address:
            raise Overloaded
        self._of_address[network] = mine
        self.count += 1

    def leave(self, network: str) -> None:
        """Give the place back."""
        self.count -= 1
        left = self._of_address[network] - 1
        if left:
            self._of_address[network] = left
        else:
            del self._of_address[network]
