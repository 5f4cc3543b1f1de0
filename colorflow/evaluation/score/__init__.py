"""Folders in, numbers out."""
