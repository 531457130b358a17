"""The measures, one file each: from stored samples to rows of the long table."""
