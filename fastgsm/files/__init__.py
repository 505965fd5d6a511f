"""Files: images, pixels read and written in parts, paths, and the list of finished tiles."""
