"""ColorFlow: train, measure and run reference-based colorization of comic sequences."""

from colorflow.utils.threads import wait_passively

__version__ = "0.1.0"

wait_passively()  # here: ``python -m colorflow.styles`` imports torch before the module's own first line
