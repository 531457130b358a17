"""Noise schedules, denoisers, samplers and losses. Works on tensors and callables alone."""
