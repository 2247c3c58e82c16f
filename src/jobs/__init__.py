"""Jobs: from a specification to experiments, their folders, and runs on SLURM or this machine. Imports neither torch nor pandas."""
