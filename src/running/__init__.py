"""What starts, claims, stops and requeues runs: the command line of train.py, and the worker that forks them."""
