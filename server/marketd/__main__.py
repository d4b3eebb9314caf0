"""`python -m marketd` is `marketd`."""

from marketd.cli import main

main()
