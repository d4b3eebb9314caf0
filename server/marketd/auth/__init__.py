"""Accounts, their sessions and roles, and the tokens that prove them. Other slices build on it."""
