"""The services an algorithm gets: cohort, models, broadcast, local training, averaging, randomness and the ledger."""
