"""Seeds, image and file I/O, digests and logging; nothing here knows of comics."""
