"""The alignment methods, one file each. `interface.py` says what a method is."""
