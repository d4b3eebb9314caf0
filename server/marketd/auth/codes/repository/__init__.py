"""Every SQL statement of codes, one file a table."""
