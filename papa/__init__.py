"""papa: aligning diffusion models to one person's taste from a handful of reactions."""

__version__ = "0.1.0"
