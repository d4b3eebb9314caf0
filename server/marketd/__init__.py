"""marketd: a gRPC marketplace backend. The package's floors are listed in docs/architecture.md."""

__version__ = "0.1.0"
