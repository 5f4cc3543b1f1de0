"""Timestep sampling, noise, targets and loss: functions that cite their equation."""
