"""Parity with the released code, by numeric fixtures that lie outside this repository."""
