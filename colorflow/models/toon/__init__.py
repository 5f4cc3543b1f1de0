"""What the toon family has beside Stable Diffusion's classes: its codec, and how its networks start."""
