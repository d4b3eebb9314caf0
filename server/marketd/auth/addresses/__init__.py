"""The address books of accounts."""
