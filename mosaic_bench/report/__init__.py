"""From a store to tables. Nothing here imports torch."""
