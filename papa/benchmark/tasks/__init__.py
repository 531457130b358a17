"""The tasks: what an alignment method is run against. One file each."""
