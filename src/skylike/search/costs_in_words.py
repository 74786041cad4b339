"""What a calibration found, for people."""

from skylike.search.calibrate import RESULTS, Calibration
from skylike.search.routes.costs import FAST_RECALL


def costs_in_words(measured: Calibration) -> list[str]:
    """Write a calibration as lines of text."""
    costs = measured.costs
    lines = [
        f"Encoder {measured.encoder}, {measured.n_embeddings:,} embeddings:",
        f"  a search that matches one galaxy   {1e3 * costs.fixed:9.1f} ms",
        f"  a million rows that do not match   {1e9 * costs.per_row:9.1f} ms",
        f"  a million rows that match          {1e9 * costs.per_match:9.1f} ms",
        f"  a thousand embeddings in full      {1e6 * costs.per_vector:9.1f} ms",
        f"  compared in full for {RESULTS} results {1e2 * costs.refined_share:11.3f} % of the rows",
    ]
    if costs.by_list is not None:
        lines.append(f"  a walk along a neighbor list       {1e3 * costs.by_list:9.1f} ms")
    if costs.fast_candidates is None or costs.fast_recall is None or costs.fast_seconds is None:
        lines.append("  no approximate index; --fast-index builds one for `search --fast`")
        return lines
    lines.append(
        f"  by the approximate index           {1e3 * costs.fast_seconds:9.1f} ms, recall"
        f" {costs.fast_recall:.4f} with {costs.fast_candidates:,} candidates"
    )
    if costs.fast_recall < FAST_RECALL:
        lines.append(f"  its recall is below {FAST_RECALL}: `search --fast` will not use it")
    return lines
