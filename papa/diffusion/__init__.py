"""Noise schedules, denoisers, samplers and losses. Knows tensors and callables, nothing else."""
