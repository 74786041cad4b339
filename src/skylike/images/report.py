"""What became of the inputs of ``skylike images``: counts, and files refused by name."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class InputReport:
    """What became of one input.

    Attributes
    ----------
    origin
        Its name.
    kind
        How it was read.
    added
        Cutouts stored that are new or have new pixels.
    unchanged
        Cutouts that were added before and have not changed.
    linked_by_id, linked_by_position, new_galaxies, without_position
        Where the galaxies came from: found by identifier, within 1 arcsec, or made; without a
        position a cutout serves training and evaluation only.
    duplicates
        Further images of a galaxy within the input; the most complete is linked, of equals the
        first.
    replaced
        Galaxies that had a cutout of the kind from another input before.
    incomplete
        Cutouts stored with pixels or bands that were not observed.
    empty
        Images without one observed pixel; not stored.
    refused
        Files that cannot be used, a sentence each.
    notes
        What else should be known, a sentence each.
    """

    origin: str
    kind: str
    added: int = 0
    unchanged: int = 0
    linked_by_id: int = 0
    linked_by_position: int = 0
    new_galaxies: int = 0
    without_position: int = 0
    duplicates: int = 0
    replaced: int = 0
    incomplete: int = 0
    empty: int = 0
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def sentence(self) -> str:
        """Return the counts that are not zero, in one line."""
        parts = [
            f"{count:,} {what}"
            for count, what in (
                (self.added, "cutouts added"),
                (self.unchanged, "unchanged"),
                (self.linked_by_id, "linked by identifier"),
                (self.linked_by_position, "linked by position"),
                (self.new_galaxies, "new galaxies"),
                (self.without_position, "without a position (training only)"),
                (self.duplicates, "repeat a galaxy (the most complete is linked)"),
                (self.replaced, "replace older cutouts"),
                (self.incomplete, "incomplete"),
                (self.empty, "without an observed pixel (not stored)"),
                (len(self.refused), "refused"),
            )
            if count
        ]
        return f"{self.origin} ({self.kind}): {', '.join(parts) or 'nothing to add'}"


def refusals(reports: Sequence[InputReport]) -> list[str]:
    """Return the sentences of all files that were refused."""
    return [sentence for report in reports for sentence in report.refused]


def summary_of_refusals(reports: Sequence[InputReport]) -> str | None:
    """Return one sentence for all refusals, None where there are none."""
    refused = refusals(reports)
    if not refused:
        return None
    kept = sum(report.added + report.unchanged for report in reports)
    rest = f"the other {kept:,} cutouts are there" if kept else "nothing was added"
    if len(refused) == 1:
        return f"{refused[0]}; {rest}"
    return f"{len(refused):,} files refused (listed above), the first: {refused[0]}; {rest}"
