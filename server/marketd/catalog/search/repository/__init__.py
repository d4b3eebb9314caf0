"""Every SQL statement of search; each module a matter."""
