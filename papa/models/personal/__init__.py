"""Models conditioned on a user: user encoders, user attention, and adapters."""
