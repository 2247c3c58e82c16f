"""What a step, an evaluation and an epoch are made of. Knows no command line and no SLURM."""
