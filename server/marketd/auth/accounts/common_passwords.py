"""Passwords that attackers try first, in lower case, 8 characters and more: some 11,700.

Most are those of zxcvbn (the commonest in published leaks); beside them stand seasons, years, other keyboards and
languages, and what a marketplace invites. What is shorter is refused by length alone, and repeated characters by the
rule beside it (passwords.py).
"""

from __future__ import annotations

from zxcvbn.frequency_lists import FREQUENCY_LISTS

_MIN_LENGTH = 8

_OURS = """
0123456789 123123123 12341234 19801980 19901990 20002000 20202020 31122000 87654321 987654321 9876543210 abcdefgh
abcdefghi admin1234 adminadmin administrator autumn2025 banana123 basketball changeme123 cheese123 chocolate
contraseña database facebook facebook1 flower123 guest1234 hallo1234 harley123 ichliebedich jennifer letmein123
linkedin login123 lovelove lovers123 maggie123 marketd123 marketplace marketplace1 michelle oldpassword orange123
p@ssword pass12345 passwort1 passwort123 qwerty!@# qwertz123 root1234 rootroot schatz123 secret1234 server123 shopping
snoopy123 sommer2024 sommer2025 spring2025 summer2023 summer2024 summer2025 test12345 testtest thepassword tigger123
toor1234 welcome2024 welcome2025 willkommen willkommen1 windows10 winter2024 winter2025 yourpassword zaq1zaq1
"""

COMMON_PASSWORDS = frozenset(_OURS.split()).union(
    password for password in FREQUENCY_LISTS["passwords"] if len(password) >= _MIN_LENGTH
)
