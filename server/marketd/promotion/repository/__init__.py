"""Every SQL statement of promotions, a file for each subject."""
