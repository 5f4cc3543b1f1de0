"""Chapters from black and white to colour: the batch job behind ``colorize.py`` and the demo."""
