"""The released checkpoints and ours, each from the other, strictly: every key is accounted for."""
