"""ColorFlow: train, measure and run reference-based colorization of comic sequences."""

__version__ = "0.1.0"
