"""Diffusion models as methods see them."""
