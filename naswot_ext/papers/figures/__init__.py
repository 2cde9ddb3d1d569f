"""The papers' figures: one file a kind of figure, each a function from data frames to a matplotlib figure."""
