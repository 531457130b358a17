"""Task `sd15`."""
