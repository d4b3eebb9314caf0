"""The two stores: a local directory, and a bucket of an S3 service."""
