"""Accounts, their sessions and roles, the tokens that prove them, and the audit log. Other slices build on it."""
