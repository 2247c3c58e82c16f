"""What moves the weights: optimizers, learning-rate schedules, and averages of the iterates."""
