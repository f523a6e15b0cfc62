"""`python -m stenopool` is `stenopool`."""

from stenopool.cli import main

main()
