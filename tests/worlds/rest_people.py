"""People who call over REST, made anew when a call has taken what they had: an account, a session, a role."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

import requests

from tests.worlds.things import PASSWORD

ROLES: Final = ("BUYER", "SELLER", "COURIER", "ADMIN")
_TURNS: Final = 20
"""So often somebody who is known signs in again: what a call has taken from them for good is not asked."""
_ADDRESS: Final = {
    "recipient": "A. Buyer",
    "lines": ["Long Street 1"],
    "city": "Berlin",
    "postalCode": "10115",
    "regionCode": "DE",
    "point": {"latitude": 52.52, "longitude": 13.4},
}


class People:
    """One caller of each role, by token. The keeper, an administrator whom no test may reach, makes them."""

    def __init__(
        self, url: str, keeper: str, password: str, known: Mapping[str, Iterable[tuple[str, str]]] | None = None
    ) -> None:
        """known: logins and passwords by role, of those who have something already; they are taken first."""
        self._url = url
        self._known = {role: [*logins] * _TURNS for role, logins in (known or {}).items()}
        self._keeper = (keeper, password)
        self._session = requests.Session()
        self._tokens: dict[str, str] = {}
        self.kept: set[str] = set()
        """What the keeper has: no generated call may name it."""

    def token(self, role: str) -> str | None:
        """The access token of a caller with the role; None for one who has not signed in."""
        if role not in ROLES:
            return None
        if role not in self._tokens:
            self._tokens[role] = self._made(role)
        return self._tokens[role]

    def forget(self, role: str) -> None:
        """The caller is of no use any more; the next is another one."""
        self._tokens.pop(role, None)

    def call(self, path: str, body: Any, token: str | None = None) -> Any:
        """A POST that must succeed."""
        headers = {"idempotency-key": secrets.token_hex(8)}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        answer = self._session.post(self._url + path, json=body, headers=headers, timeout=20)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def _made(self, role: str) -> str:
        while logins := self._known.get(role):
            login, password = logins.pop(0)
            body = {"login": login, "password": password}
            answer = self._session.post(f"{self._url}/v1/auth:login", json=body, timeout=20)
            if answer.status_code == 200:
                signed_in: str = answer.json()["tokens"]["accessToken"]
                return signed_in
        email = f"{role.lower()}-{secrets.token_hex(6)}@marketplace.example"
        found = self.call("/v1/auth:register", {"email": email, "password": PASSWORD, "fullName": "A Caller"})
        token: str = found["tokens"]["accessToken"]
        if role == "SELLER":
            made = self.call("/v1/sellers", {"shopName": f"Shop {email}", "pickupAddress": _ADDRESS}, token)
            self.call(f"/v1/sellers/{made['seller']['sellerId']}:approve", {}, self._keepers())
        elif role == "COURIER":
            made = self.call("/v1/couriers", {"firstName": "Cora", "vehicle": "VEHICLE_TYPE_BICYCLE"}, token)
            self.call(f"/v1/couriers/{made['courier']['courierId']}:approve", {}, self._keepers())
        elif role == "ADMIN":
            user = found["user"]["userId"]
            self.call(f"/v1/users/{user}:setRoles", {"roles": ["ROLE_BUYER", "ROLE_ADMIN"]}, self._keepers())
        return token

    def _keepers(self) -> str:
        login, password = self._keeper
        found = self.call("/v1/auth:login", {"login": login, "password": password})
        self.kept |= {found["user"]["userId"], found["tokens"]["sessionId"], login}
        token: str = found["tokens"]["accessToken"]
        return token
