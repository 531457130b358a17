"""Task `digits`."""
