"""What cells will cost, known before they run: from finished cells, from a few timed steps, or from FLOPs."""

from mosaic_bench.engine.costs.cost import Basis, Cost, makespan
from mosaic_bench.engine.costs.forecast import Forecast

__all__ = ["Basis", "Cost", "Forecast", "makespan"]
