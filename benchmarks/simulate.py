"""How fast galaxies are drawn: per second of one core, in all and for each class.

Run: python benchmarks/simulate.py --galaxies 400
CPU time is measured, so that other work on the machine matters little.
"""

import argparse
import time

import numpy as np

from skylike.simulation.classes import PREVALENCE
from skylike.simulation.cutouts import draw_cutout
from skylike.simulation.population import draw_population
from skylike.simulation.simulate import default_field


def main() -> None:
    """Print galaxies per second of one core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--galaxies", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    population = draw_population(
        arguments.galaxies, field=default_field(arguments.galaxies), rng=rng
    )
    for row in range(min(20, len(population))):  # GalSim fills its tables
        draw_cutout(population, row, rng=rng)
    seconds: dict[str, list[float]] = {str(name): [] for name in PREVALENCE}
    for row in range(len(population)):
        begun = time.process_time()
        draw_cutout(population, row, rng=rng)
        seconds[str(population.galaxy_class[row])].append(time.process_time() - begun)
    print(f"{'class':<16}{'galaxies':>9}{'ms each':>9}{'per s':>8}")
    for name, times in seconds.items():
        if times:
            print(_line(name, np.array(times)))
    print(_line("all", np.concatenate(list(seconds.values()))))


def _line(name: str, times: np.ndarray) -> str:
    mean = float(times.mean())
    return f"{name:<16}{len(times):>9}{1e3 * mean:>9.1f}{1 / mean:>8.0f}"


if __name__ == "__main__":
    main()
