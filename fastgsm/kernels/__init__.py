"""The hot loops. Nothing here validates its input; the callers do."""
