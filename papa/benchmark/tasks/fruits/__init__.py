"""Task `fruits`."""
