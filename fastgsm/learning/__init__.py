"""EM without any model: its loop, steps, updates, sums over samples and starting values."""
