"""What EM needs and knows no model: its loop, steps, updates, sums and starting values."""
