"""How good is the model of tables on real tables, beside its peers?

Over thirty tables of many kinds come from packages of PyPI (``on_tables/tables.py``); how to install these,
and the environments of the peers, stands in README.md. Contestants (``on_tables/contestants/``) are fitted
to the same training rows, holes included, each in a process of its own, peers in environments of their own.
Judges (``on_tables/judges.py``) share nothing with the package.

Tables are in two halves by a hash of their names: one for tuning, which runs by default, one held back.
Every cell, a contestant on a table with a seed, becomes a line of JSON in ``--results`` as it is finished;
what stands there already is not run again, unless ``--again`` says so. ``--label`` names the state of the
code that ``ours`` ran with, so that two of them can be compared in one file. ``--only-summary`` runs
nothing.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from on_tables.cells import Plan, is_finished, key_of, measure
from on_tables.contestants import CONTESTANTS
from on_tables.judges import VERSION
from on_tables.summary import MARKS, OURS, by_table, summarise
from on_tables.tables import QUICK, TABLES
from report import parser, publish
from threadpoolctl import threadpool_limits

RESULTS = Path(__file__).with_name("results") / "tables.jsonl"
STANDARD = {"rows": ("ours", "trees", "memory", "means"), "densities": ("ours", "mixture")}
TASKS = {"rows": {"rows", "holes"}, "densities": {"densities"}}
ROWS, QUICK_ROWS = 4_000, 1_000
QUICK_SECONDS = 60.0

Record = dict[str, Any]


def read(results: Path) -> list[Record]:
    """Return the records of a file; the last of its kind counts."""
    lines = results.read_text("utf-8").splitlines() if results.is_file() else []
    records = [json.loads(line) for line in lines]
    return list({key_of(record): record for record in records}.values())


def run(wanted: list[tuple[str, str, str, int]], plan: Plan, results: Path) -> None:
    """Run cells (contestant, label, table, seed), and add each to the file as it is finished."""
    results.parent.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    for i, (contestant, label, name, seed) in enumerate(wanted):
        record = measure(contestant, label, name, seed, plan)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        words = record["error"] or ", ".join(
            f"{key} {record['marks'][key]:.2f}"
            for key in ("told_apart", "pairs", "numbers_30", "wrong_30", "log_likelihood")
            if key in record["marks"]
        )
        took = record.get("wall_seconds", 0.0)
        spent = time.perf_counter() - begun
        print(
            f"{i + 1}/{len(wanted)} {spent:.0f} s: {name}, {contestant}, seed {seed}: {took:.1f} s; {words}",
            flush=True,
        )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--quick", action="store_true", help=f"{len(QUICK)} tables, {QUICK_ROWS:,} rows")
    arguments.add_argument("--half", choices=["tuning", "held-back", "both"], default="tuning")
    arguments.add_argument("--tables", nargs="+", choices=list(TABLES), metavar="NAME", help="in any half")
    arguments.add_argument("--contestants", nargs="+", choices=list(CONTESTANTS), metavar="NAME")
    arguments.add_argument("--seeds", type=int, default=1, help="how many, 1 by default")
    arguments.add_argument("--rows", type=int, help=f"for training at most, {ROWS:,} by default")
    arguments.add_argument("--seconds", type=float, help="of a fit, 180 by default")
    arguments.add_argument("--task", choices=["rows", "densities"], default="rows", help="what to measure")
    arguments.add_argument("--label", default="", help="names the state of the code of ours")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    arguments.add_argument("--again", action="store_true", help="run what is there already once more")
    arguments.add_argument("--only-summary", action="store_true", help="run nothing")
    arguments.add_argument("--by-table", nargs="*", choices=list(MARKS), default=[], metavar="MARK")
    arguments.add_argument("--section", default="tables", help="of README.md, for --write")
    arguments.add_argument("--list", action="store_true", help="list the tables and stop")
    options = arguments.parse_args()
    threadpool_limits(1)
    if options.list:
        for table in TABLES.values():
            print(f"{table.name:12} {table.half:9} {table.source}: {table.traits}")
        return
    half = [name for name, table in TABLES.items() if options.half in (table.half, "both")]
    names = options.tables or (list(QUICK) if options.quick else half)
    contestants = options.contestants or list(STANDARD[options.task])
    unable = [one for one in contestants if not TASKS[options.task] & set(CONTESTANTS[one].does)]
    if unable:
        arguments.error(f"{', '.join(unable)} cannot do {options.task}")
    plan = Plan(
        rows=options.rows or (QUICK_ROWS if options.quick else ROWS),
        seconds=options.seconds or (QUICK_SECONDS if options.quick else Plan.seconds),
        task=options.task,
        foreign=not options.quick,
    )
    every = [
        (contestant, options.label if contestant == OURS else "", name, seed)
        for seed in range(options.seeds)
        for name in names
        for contestant in contestants
    ]
    done = set() if options.again else {key_of(one) for one in read(options.results) if is_finished(one)}
    keys = {one: (*one[:3], plan.task, one[3], plan.rows, VERSION) for one in every}
    if not options.only_summary:
        run([one for one in every if keys[one] not in done], plan, options.results)
    labels = {options.label, ""} if options.label else None
    records = [
        record
        for record in read(options.results)
        if record["table"] in names
        and record["contestant"] in contestants
        and record["task"] == plan.task
        and record["rows"] == plan.rows
        and record["judges"] == VERSION
        and (labels is None or record["label"] in labels)
    ]
    order = {name: i for i, name in enumerate(contestants)}
    records.sort(key=lambda record: order[record["contestant"]])
    parts = [summarise(records), *(by_table(records, mark) for mark in options.by_table)]
    publish(options.section, "\n\n".join(parts), options.write)


if __name__ == "__main__":
    main()
