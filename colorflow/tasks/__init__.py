"""LightningModules: one task, one training step."""
