"""Image files: decoders, encoders, and paths that are written whole or not at all."""
