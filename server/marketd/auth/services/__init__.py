"""Service accounts: internal services with credentials of their own."""
