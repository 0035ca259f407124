"""`python -m harness.cli`: the command where its script is not on the path."""

from harness.cli.main import main

main()
