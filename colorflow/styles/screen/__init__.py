"""The ScreenVAE path: colour page to screentone by the networks of the official weight files."""
