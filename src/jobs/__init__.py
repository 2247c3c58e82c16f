"""Jobs: a specification becomes experiments, folders, and runs on SLURM or this machine. Imports neither torch nor pandas."""
