"""Does ``diagnose`` find what is wrong with pipelines as other people write them?

Faults × data × ways in × seeds, and sound pipelines beside them (``on_diagnosis/``). Networks are trained in
plain torch, once for each recipe, and kept under ``DIAGNOSIS_GRID_CACHE`` (/tmp/diagnosis_grid). An answer is
right if the code, the title or the fix of its first finding has one of the words that the fault names.

Faults are in two halves by a hash of their names: one for tuning, which runs by default, one held back. Every
cell becomes a line of JSON in ``--results`` as it is finished; what stands there already is not run again,
unless ``--again`` says so. Cells run in rounds, one of every fault in each; ``--rounds`` says how many.
``--quick`` is one round with points and the small table, in the order of a hash, and begins no cell after
ten minutes. ``--only-summary`` runs nothing.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from on_diagnosis.cells import CHEAP, QUICK, Cell, cells_of, measure_all
from on_diagnosis.data import NAMES
from on_diagnosis.faults import FAULTS, SOUND
from on_diagnosis.pipelines import WAYS
from on_diagnosis.summary import judged, summarise
from report import parser, publish

QUICK_SECONDS = 600
RESULTS = Path(__file__).with_name("results") / "diagnosis_grid.jsonl"

Record = dict[str, Any]


def read(results: Path) -> dict[str, Record]:
    """Return the records of a file by their keys; the last of a key counts."""
    lines = results.read_text("utf-8").splitlines() if results.is_file() else []
    return {record["key"]: record for record in map(json.loads, lines)}


def run(wanted: list[Cell], results: Path, jobs: int, seconds: float | None) -> None:
    """Run cells, and add each to the file as it is finished; begin none after ``seconds``."""
    results.parent.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    for i, record in enumerate(measure_all(wanted, jobs)):
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        made = judged(record)
        said = record["error"] or (record["findings"][0]["code"] if record["findings"] else "nothing")
        mark = "right" if made["right"] else "no harm" if made["harmless"] else "WRONG"
        spent = time.perf_counter() - begun
        print(f"{i + 1}/{len(wanted)} {spent:.0f} s: {record['key']}: {said}: {mark}", flush=True)
        if seconds is not None and spent > seconds:
            return


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--quick", action="store_true", help="ten minutes of points and the small table")
    arguments.add_argument("--half", choices=["tuning", "held-back", "both"], default="tuning")
    arguments.add_argument(
        "--faults", nargs="+", choices=[*FAULTS, *SOUND], metavar="NAME", help="in any half"
    )
    arguments.add_argument("--data", nargs="+", choices=list(NAMES), metavar="NAME")
    arguments.add_argument("--ways", nargs="+", choices=WAYS, metavar="NAME")
    arguments.add_argument("--seeds", type=int, default=1, help="how many, 1 by default")
    arguments.add_argument("--rounds", type=int, help="how many cells of a fault at most")
    arguments.add_argument("--seconds", type=float, help="begin no cell after these")
    arguments.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    arguments.add_argument("--again", action="store_true", help="run what is there already once more")
    arguments.add_argument("--only-summary", action="store_true", help="run nothing")
    arguments.add_argument("--no-texts", action="store_true", help="leave out the text of wrong answers")
    arguments.add_argument("--section", default="diagnosis_grid", help="of README.md, for --write")
    arguments.add_argument("--list", action="store_true", help="list the faults and stop")
    options = arguments.parse_args()
    every = list((FAULTS | SOUND).values())
    if options.list:
        for case in every:
            print(f"{case.half:9} {case.kind:9} {case.name}: {', '.join(filter(None, case.variants))}")
        return
    chosen = [case for case in every if options.half in (case.half, "both")]
    if options.faults:
        chosen = [case for case in every if case.name in options.faults]
    rounds = cells_of(chosen, range(options.seeds), options.data or (CHEAP if options.quick else None))
    if options.ways:
        rounds = [[cell for cell in one if cell.way in options.ways] for one in rounds]
    limit = options.rounds or (QUICK if options.quick else len(rounds))
    wanted = [cell for one in rounds[:limit] for cell in one]
    # An error may be ours; a cell that had no time would have none again.
    found = {} if options.again else read(options.results)
    done = {key for key, one in found.items() if one["error"] is None or one["error"].startswith("no answer")}
    if not options.only_summary:
        seconds = options.seconds or (QUICK_SECONDS if options.quick else None)
        run([cell for cell in wanted if cell.key not in done], options.results, options.jobs, seconds)
    records = read(options.results)
    text = summarise([records[cell.key] for cell in wanted if cell.key in records], not options.no_texts)
    publish(options.section, text, options.write)


if __name__ == "__main__":
    main()
