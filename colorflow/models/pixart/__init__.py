"""PixArt-alpha: a transformer, its guider and how control enters."""
