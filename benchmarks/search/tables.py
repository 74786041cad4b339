"""Results of run.py as Markdown.

python benchmarks/search/tables.py RESULT.json...
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

REFERENCE: Final = "skylike exact"


def row_table(row: dict[str, Any]) -> str:
    """Write one row of the benchmark: a line for each method."""
    head = f"### {row['row']}: {row['matching']:,.0f} galaxies match"
    if row["cut"]:
        head += f" (`{row['cut']}`)"
    lines = [
        head,
        "",
        "| method | median ms | p95 ms | times ours | recall@100 | worst | rows | short |",
        "|---|---|---|---|---|---|---|---|",
    ]
    own = row["methods"].get(REFERENCE, {}).get("median_ms")
    for name, found in row["methods"].items():
        if "error" in found:
            lines.append(f"| {name} | {found['error']} |||||||")
            continue
        ratio = "" if own is None else f"{found['median_ms'] / own:.2f}"
        lines.append(
            f"| {name} | {found['median_ms']:.1f} | {found['p95_ms']:.1f} | {ratio}"
            f" | {found['recall']:.4f} | {found['worst_recall']:.2f}"
            f" | {found['returned']:.1f} of {found['expected']:.1f} | {found['short']} |"
        )
    return "\n".join([*lines, ""])


def costs_table(report: dict[str, Any]) -> str:
    """Write build times and bytes."""
    sizes = report["bytes"]
    true_bytes = sizes["embedding"]
    lines = ["### Built", "", "| what | seconds | MB | of the true vectors |", "|---|---|---|---|"]
    for name, cost in report["costs"].items():
        seconds = f"{cost['seconds']:.0f}"
        size, share = "", ""
        if "bytes" in cost:
            size, share = f"{cost['bytes'] / 1e6:,.0f}", f"{cost['bytes'] / true_bytes:.0%}"
        lines.append(f"| {name} | {seconds} | {size} | {share} |")
    for name, size in {**sizes, **report["plain_bytes"]}.items():
        lines.append(f"| {name} | | {size / 1e6:,.0f} | {size / true_bytes:.0%} |")
    added = sum(size for name, size in sizes.items() if name.startswith("compact"))
    lines.append(f"| all that search adds | | {added / 1e6:,.0f} | {added / true_bytes:.0%} |")
    return "\n".join([*lines, ""])


def document(report: dict[str, Any]) -> str:
    """Write the whole report."""
    facts = ", ".join(f"{name} {value}" for name, value in report["server"].items())
    before, after = report["load_average"]
    head = [
        f"## {report['case']}: {report['galaxies']:,} galaxies x {report['dimension']} dimensions",
        "",
        f"{report['date']}, {report['queries']} queries a row, k = 100; {facts}; load average "
        f"{before:.1f} at the start, {after:.1f} at the end.",
        "",
    ]
    return "\n".join([*head, *map(row_table, report["rows"]), costs_table(report)])


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(document(json.loads(Path(argument).read_text(encoding="utf-8"))))
