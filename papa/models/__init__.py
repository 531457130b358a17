"""Diffusion models behind the interface that methods use."""
