"""Every SQL statement of the catalog, a file a subject: categories, brands, products as they are read and written."""
