"""Procedural screentones: print-like black and white without any weights."""
