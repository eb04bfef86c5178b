// What is wrong, and what mends it? The part of the budget that costs most, in words, with one change to try.

import type { Budget, Recipe } from "../engine/protocol.js";
import { makeSchedule, priorStd, ratioOf, type ScheduleSettings } from "../engine/schedules.js";
import { card } from "./controls.js";
import { digits, h, put } from "./dom.js";
import type { Speaker, Word } from "./words.js";

const WORTH = 0.3; // parts that cost at least so many floors are worth mending
const NO_SIGNAL = 0.005; // α² s² / σ² at which sampling may start from noise

/** One change of what is trained or sampled. */
export type Change =
  | { kind: "schedule"; schedule: ScheduleSettings }
  | { kind: "scaling" }
  | { kind: "decay" }
  | { kind: "longer" }
  | { kind: "points" }
  | { kind: "steps" };

export interface Finding {
  word: Word;
  values: (string | number)[];
  mend: Word;
  /** What the change sets. */
  to: string;
  change: Change;
}

/** Runs of one recipe, each with one more thing mended: how good each is, and which one is shown. */
export interface Recorded {
  at: number;
  ratios: number[];
  /** What the next one changes; null of the last. */
  next: "schedule" | "scaling" | "decay" | null;
}

/** The schedule of this name whose end has no signal left of data of the deviation s; null where none is near. */
function quieted(settings: ScheduleSettings, s: number): [ScheduleSettings, string] | null {
  const key = ["end", "beta_max", "sigma_max", "t_max"].find((name) => typeof settings[name] === "number");
  if (!key || settings.name === "cosine") return null;
  const most = key === "end" ? 0.99 : key === "t_max" ? 1 : 1000;
  for (let value = Number(settings[key]); value <= most; value *= 1.02) {
    const kept = Number(value.toPrecision(1));
    const tried = { ...settings, [key]: kept >= value ? kept : Number(value.toPrecision(2)) };
    const schedule = makeSchedule(tried);
    if ((s / ratioOf(schedule.at(schedule.tMax))) ** 2 < NO_SIGNAL) return [tried, `${key} = ${digits(Number(tried[key]))}`];
  }
  return null;
}

/** The finding on a training, by what its parts cost. */
export function findingOf(budget: Budget, recipe: Recipe, spread: number, next: Recorded["next"] = null): Finding | null {
  const worth = budget.parts.filter(({ ratio, low }) => ratio >= WORTH && low > 0).sort((a, b) => b.ratio - a.ratio);
  const start = worth.find(({ part }) => part === "start");
  const schedule = makeSchedule(recipe.schedule);
  const last = schedule.at(schedule.tMax);
  const quiet = start && quieted(recipe.schedule, spread);
  if (quiet) {
    const change: Change = { kind: "schedule", schedule: quiet[0] };
    const values = [start.ratio.toFixed(2), digits(last.sigma), digits(priorStd(last))];
    return { word: "foundStart", values, mend: "mendSchedule", to: quiet[1], change };
  }
  // Of a recorded run the next change is known, also where its gain is too small to be certain.
  const found = worth[0] ?? (next ? budget.parts.find(({ part }) => part === "network") : undefined);
  if (!found) return null;
  const values = [found.ratio.toFixed(2)];
  const of = (word: Word, mend: Word, to: string, kind: Exclude<Change["kind"], "schedule">): Finding =>
    ({ word, values, mend, to, change: { kind } });
  if (found.part === "steps") return of("foundSteps", "mendSteps", "steps × 2", "steps");
  if (found.part === "set") return of("foundSet", "mendSet", "data.size × 4", "points");
  if (found.part !== "network") return null;
  if (Math.abs(Math.log(spread)) > 1) {
    values.push(digits(spread));
    return of("foundScale", "mendScale", 'data.scaling = "standard"', "scaling");
  }
  if (recipe.training.decay === "none") return of("foundDecay", "mendDecay", 'training.decay = "linear"', "decay");
  return of("foundShort", "mendLonger", "training.steps × 2", "longer");
}

/** The card of the finding, with the button that mends it. */
export class MendCard {
  readonly card: HTMLElement;
  private readonly words = h("p", { class: "told", id: "finding" });
  private readonly how = h("p");
  private readonly chain = h("ol", { class: "chain" });
  private readonly mend: HTMLButtonElement;
  private readonly here: HTMLButtonElement;
  private readonly load: HTMLButtonElement;
  private finding: Finding | null = null;

  constructor(
    private readonly speaker: Speaker,
    onMend: (finding: Finding, here: boolean) => void,
    private readonly onLoad: (() => void) | null,
  ) {
    const button = (id: string, word: Word, work: () => void, name = ""): HTMLButtonElement =>
      h("button", { id, class: name, onclick: work }, speaker.text(word));
    this.mend = button("mend", "mend", () => this.finding && onMend(this.finding, false), "main-button");
    this.here = button("mend-here", "mendHere", () => this.finding && onMend(this.finding, true));
    this.load = button("tutorial", "tutorial", () => this.onLoad?.());
    this.card = card(
      speaker, "finding", this.chain, this.words, this.how,
      h("div", { class: "row" }, this.mend, this.here, this.load),
    );
  }

  show(finding: Finding | null, measured: boolean, recorded: Recorded | null): void {
    const { speaker } = this;
    this.finding = finding;
    put(this.words, finding ? speaker.say(finding.word, ...finding.values) : speaker.say(measured ? "foundNothing" : "measuring"));
    put(this.how, finding ? `${speaker.say(finding.mend)} ${finding.to}` : "");
    const next = recorded !== null && recorded.at + 1 < recorded.ratios.length;
    this.mend.classList.toggle("hidden", !finding);
    this.here.classList.toggle("hidden", !finding || !next);
    this.load.classList.toggle("hidden", !this.onLoad || recorded !== null);
    this.chain.replaceChildren(
      ...(recorded?.ratios ?? []).map((ratio, i) =>
        h("li", i === recorded!.at ? { "aria-current": "step" } : {}, i <= recorded!.at ? ratio.toFixed(2) : "?"),
      ),
    );
  }
}
