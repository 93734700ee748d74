"""The one training loop, evaluation, checkpoints, and dispatch of cells."""
