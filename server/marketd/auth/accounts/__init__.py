"""People: their accounts, names, passwords and roles."""
