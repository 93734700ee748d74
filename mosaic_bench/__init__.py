"""mosaic_bench: federated-learning algorithms compared on one shared, resumable harness."""

__version__ = "0.1.0"
