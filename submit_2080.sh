#!/bin/bash
# One experiment on an RTX 2080 GPU (8 or 11 GB):
#     python submit_multiple.py jobs/grid.yaml -s submit_2080.sh
# The lines that start with #SBATCH ask SLURM for a machine. Change them to what your cluster has and
# your experiments need; a line that starts with ##SBATCH is off.

# The partition (queue); `sinfo` lists them. Without this line: the cluster's default.
##SBATCH --partition=killable

# One GPU of this kind; `sinfo -o "%N %G"` lists what your cluster calls them.
#SBATCH --gres=gpu:rtx_2080:1

# CPU cores: Python's, and one for each of num_workers of the config.
#SBATCH --cpus-per-task=4

# Memory; an experiment that takes more is killed.
#SBATCH --mem=8G

# Hours, minutes and seconds; short ones start sooner. An experiment that takes longer saves its state
# before the limit, requeues itself and resumes.
#SBATCH --time=24:00:00

# Start again after a preemption or the failure of a node.
#SBATCH --requeue

# SLURM runs a copy of this script, so $0 is not in the project. The experiment runs the snapshot beside its
# folder: the code at submission. `exec` replaces this shell by Python, so that SLURM's signals reach Python.
# "$@" is the experiment's spec.yaml; with --array and --pack it is a list of experiments, from which train.py
# takes its own, and further options of train.py.
exec "${EXPERIMENT_PYTHON:-python}" "$(dirname "$1")/../code/train.py" "$@"
