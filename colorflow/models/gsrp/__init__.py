"""Guided super-resolution: fusion network, model, and pages computed in rows."""
