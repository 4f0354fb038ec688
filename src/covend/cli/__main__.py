"""`python -m covend.cli`, the same as `covend`."""

from covend.cli import main

main()
