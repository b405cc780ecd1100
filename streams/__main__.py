"""`python -m streams` is `karar`."""

from streams.cli import main

main()
