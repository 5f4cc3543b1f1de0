"""Everything around the training step: averaging, pictures, guards, export, records."""
