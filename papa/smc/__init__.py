"""Sequential Monte Carlo: log-weights, resampling, and the Feynman-Kac corrector. Pure functions."""
