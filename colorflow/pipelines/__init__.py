"""Inference: no Lightning, no Hydra."""
