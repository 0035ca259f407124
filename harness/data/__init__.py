"""Training sources: pairs of texts, the packages they come from, and our own evaluation data."""
