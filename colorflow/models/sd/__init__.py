"""Stable Diffusion and toon: a U-Net, its guider and how residuals enter."""
