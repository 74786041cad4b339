"""What ``--explain`` shows: the routes and their costs, the steps and their times, SQL and plan."""

from skylike.search.routes.choice import Outcome
from skylike.search.routes.searching import Searching


def explained(searching: Searching, found: Outcome, sql: str) -> str:
    """Tell how an answer came about; the server runs the scan once more for its plan."""
    return "\n".join(
        [
            *_routes(found),
            "",
            f"{found.ranking.fetched:,} candidates scored in float64,"
            f" {_compared(found)} compared in full by the exact route;"
            f" the bound of a compact vector is {searching.compact.slack:.1e} loose, the server's"
            f" cosine certain to {searching.error:.1e}",
            *(
                f"  {name:<28}{1000 * seconds:>10.1f} ms"
                for name, seconds in searching.clock.steps.items()
            ),
            "",
            "the statement that an analyst would type:",
            sql,
            "",
            "the server's plan of the exact route's scan of compact vectors:",
            found.filter_route.explain(),
        ]
    )


def _compared(found: Outcome) -> str:
    if found.filter_route.is_direct:
        return "all embeddings that match (the bounds ruled out too few)"
    return f"{found.filter_route.refined:,} embeddings"


def _routes(found: Outcome) -> list[str]:
    state = "exact" if found.is_exact else f"approximate, expected recall {found.recall:.3f}"
    source = "measured here" if found.costs.is_measured else "guessed: run `skylike db calibrate`"
    lines = [f"route {found.route}: {state}; costs {source}"]
    for option in found.options:
        cost = "        not" if option.seconds is None else f"{1000 * option.seconds:>8.1f} ms"
        lines.append(f"  {option.route:<8}{cost}  {option.reason}")
    return lines
