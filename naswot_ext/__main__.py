"""`python -m naswot_ext` is the `naswot` command."""

from naswot_ext.cli import main

main()
