"""Optimizers, learning-rate schedules, and averages of the iterates."""
