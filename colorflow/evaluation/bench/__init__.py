"""Benchmark folders: read, checked and built."""
