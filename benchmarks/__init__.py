"""How fast the harness is, beside what a user would otherwise write. Run with ``python -m benchmarks.speed``."""
