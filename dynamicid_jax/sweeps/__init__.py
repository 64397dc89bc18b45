"""Many trainings, each with its evaluation: as values, on one machine, on Ray or Slurm, and as one table."""
