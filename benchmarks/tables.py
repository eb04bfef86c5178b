"""How good is the model of tables beside simpler ones and its peers?

On five tables that ship with scikit-learn and four whose law is known (``on_tables/data.py``), methods are
fitted to the same training rows and measured on the same held-out ones, seed by seed
(``on_tables/{ours,peers,imputers,forest,multinomial}.py``): log-likelihood; how like held-out rows are
synthetic ones (``diffuscope.metrics.tabular``); how far from the truth are values removed at random and
imputed, in standard deviations of the column, by one draw and by the best single estimate; and how often the
truth lies between the extremes of 19 draws, which 9 in 10 should.

Columns are medians over the seeds. The best, and who is as good within the 95% interval of paired
differences (``on_tables/comparing.py``), is in bold. ``training rows`` are perfect memory: by likeness they
show what real rows reach, and do not compete.

Results go to ``--results`` as they come, a line of JSON for each method, table and seed: what stands there is
not measured again, unless ``--again`` says so, and ``--write`` makes the tables of all of it. ``forest`` is
slow and not among those that are measured unless it is named in ``--methods``.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before a library looks at it

import torch
from on_tables.comparing import MEMORY, OURS, compare, write_table
from on_tables.contestant import Contestant
from on_tables.data import TABLES
from on_tables.forest import Forest, TooSlow
from on_tables.imputers import Iterative, IterativeTrees, Nearest, NearestDefault
from on_tables.marks import Plan, marks_of
from on_tables.multinomial import Multinomial
from on_tables.ours import Diffusion, DiffusionBits
from on_tables.peers import GaussianCopula, GaussianMixtures, KernelDensity, TrainingRows
from report import parser, publish

RESULTS = Path(__file__).with_name("results") / "tables.jsonl"

METHODS: dict[str, type[Contestant]] = {
    OURS: Diffusion,
    "diffusion, bits": DiffusionBits,
    "multinomial": Multinomial,
    "forest": Forest,
    "mixture": GaussianMixtures,
    "kernel": KernelDensity,
    "copula": GaussianCopula,
    "iterative": Iterative,
    "iterative, trees": IterativeTrees,
    "neighbours": NearestDefault,
    "neighbours, chosen": Nearest,
    MEMORY: TrainingRows,
}
CODINGS = ("diffusion, bits", "multinomial")
OF_CATEGORIES = ("patients", "survey")

Record = dict[str, Any]


def measured(method: str, name: str, seed: int, plan: Plan) -> Record:
    """Fit and ask one method."""
    table = TABLES[name]()
    train, held_out = table.split(seed)
    one = METHODS[method]()
    begun = time.perf_counter()
    try:
        marks: dict[str, float] | None = marks_of(one, table, train, held_out, seed, plan)
        note = one.settings()
    except (ImportError, TooSlow) as error:
        marks, note = None, str(error)
    if marks is not None and table.log_density is not None and "log_likelihood" in marks:
        note += f" (the law itself: {table.log_density(held_out[: plan.scored]).mean():.2f})"
    seconds = time.perf_counter() - begun
    return {"method": method, "table": name, "seed": seed, "marks": marks, "note": note, "seconds": seconds}


def collect(
    methods: list[str], tables: list[str], seeds: int | None, results: Path, plan: Plan, again: bool
) -> list[Record]:
    """Measure what the file does not hold yet, and add it there; return all that it holds.

    With ``again`` what it holds of these methods on these tables is dropped first.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    lines = results.read_text("utf-8").splitlines() if results.is_file() else []
    records = [json.loads(line) for line in lines]
    if again:
        records = [one for one in records if one["method"] not in methods or one["table"] not in tables]
        results.write_text("".join(json.dumps(one) + "\n" for one in records), "utf-8")
    done = {(one["method"], one["table"], one["seed"]) for one in records}
    wanted = [
        (method, name, seed)
        for name in tables
        for seed in range(seeds or TABLES[name]().seeds)
        for method in methods
        if method not in CODINGS or name in OF_CATEGORIES
    ]
    wanted = [one for one in wanted if one not in done]
    with results.open("a", encoding="utf-8") as file:
        for i, (method, name, seed) in enumerate(wanted):
            record = measured(method, name, seed, plan)
            records.append(record)
            file.write(json.dumps(record) + "\n")
            file.flush()
            words = f"{name}, seed {seed}, {method}: {record['seconds']:.1f} s; {record['note']}"
            print(f"{i + 1}/{len(wanted)} {words}", flush=True)
    return records


def write_up(records: list[Record], tables: list[str]) -> str:
    """Return a section for each table, and how often ours is best or as good."""
    parts, won, asked = [], 0, 0
    for name in tables:
        marks: dict[str, dict[int, dict[str, float]]] = defaultdict(dict)
        notes = {}
        for one in records:
            if one["table"] == name and one["marks"] is not None:
                marks[one["method"]][one["seed"]] = one["marks"]
            elif one["table"] == name:
                notes[one["method"]] = one["note"]
        if not marks:
            continue
        table = TABLES[name]()
        compared = compare(marks, table.reused)
        ours = [one for key, one in compared.items() if OURS in one.middle and key != "fit_seconds"]
        best = sum(OURS in one.best for one in ours)
        won, asked = won + best, asked + len(ours)
        left_out = "".join(f" {method} left out: {why}." for method, why in notes.items())
        names = [method for method in METHODS if method in marks]
        seeds = max(len(own) for own in marks.values())
        parts.append(
            f"**{table.title}**, {seeds} seeds. Ours is best or as good in {best} of {len(ours)} rows."
            f"{left_out}\n\n{write_table(compared, names)}"
        )
    return "\n\n".join([*parts, f"All in all ours is best or as good in {won} of {asked} rows."])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--results", type=Path, default=RESULTS, help="lines of JSON, read and added to")
    arguments.add_argument("--seeds", type=int, help="by default 5, and 3 for the larger tables")
    arguments.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES), metavar="TABLE")
    standard = [name for name in METHODS if name != "forest"]
    arguments.add_argument("--methods", nargs="*", choices=list(METHODS), default=standard, metavar="METHOD")
    arguments.add_argument("--again", action="store_true", help="forget results of these methods and tables")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    records = collect(options.methods, options.only, options.seeds, options.results, Plan(), options.again)
    publish("tables", write_up(records, options.only), options.write)


if __name__ == "__main__":
    main()
