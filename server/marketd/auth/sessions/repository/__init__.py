"""Every SQL statement of sessions, one file a table."""
