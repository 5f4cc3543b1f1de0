"""Pages coloured into a folder, resumable."""
