"""What lists drawn at random would score."""

from scipy.stats import hypergeom


def share_within(n: int, wanted: int, k: int) -> float:
    """Return the chance that any of ``wanted`` among n galaxies is within the first k."""
    return float(hypergeom.sf(0, n, wanted, min(k, n)))


def median_first_rank(n: int, wanted: int) -> float:
    """Return the median rank of the first of ``wanted`` among n galaxies in random order.

    Half a rank where one rank has exactly half of the chance below it.
    """
    low, high = 1, n
    while low < high:  # the least rank that is reached with a chance of a half
        middle = (low + high) // 2
        if share_within(n, wanted, middle) >= 0.5 - 1e-12:
            high = middle
        else:
            low = middle + 1
    return low + 0.5 if abs(share_within(n, wanted, low) - 0.5) <= 1e-12 else float(low)
