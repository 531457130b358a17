"""Task `gmm2d`."""
