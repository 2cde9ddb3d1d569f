"""Networks that hold all architectures of a space at once, and what it takes to train one and to go on after a kill."""
