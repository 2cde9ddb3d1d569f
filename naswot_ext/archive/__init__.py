"""The archive of a finished run: one file that holds what a reader needs to check it or to make it again.

`pack` writes it, `verify` proves it. Nothing here imports torch before architectures are scored again.
"""
