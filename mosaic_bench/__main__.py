"""``python -m mosaic_bench``."""

from mosaic_bench.cli import main

if __name__ == "__main__":
    main()
