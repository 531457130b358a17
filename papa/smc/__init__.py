"""Sequential Monte Carlo: log-weights, resampling, and the Feynman-Kac corrector. Pure functions."""

from __future__ import annotations

from typing import Literal

Potential = Literal["difference", "max", "sum"]
"""The potentials of Feynman-Kac steering; see `papa.smc.steering`."""
