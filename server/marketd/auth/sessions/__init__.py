"""Sign-ins: sessions, the tokens that prove them, and the keys that sign those."""
