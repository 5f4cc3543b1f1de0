"""ColorFlow: train, measure and run reference-based colorization of comic sequences."""

import os

__version__ = "0.1.0"

# Threads of torch spin while they wait for each other; beside other work on the same cores, one that spins keeps the
# core from the one that it waits for. Here, as OpenMP reads this once: when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
