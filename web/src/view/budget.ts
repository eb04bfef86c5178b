// Which part of the way from noise to samples costs what? Each can be exchanged for an exact one.

import type { Budget, Part, Which } from "../engine/protocol.js";
import { Segments } from "./controls.js";
import { h, put } from "./dom.js";
import type { Speaker, Word } from "./words.js";

const PARTS: readonly Part[] = ["steps", "start", "set", "network"];
const NAMES: Record<Part, Word> = { steps: "partSteps", start: "partStart", set: "partSet", network: "partNetwork" };

/** A line of the waterfall: a bar between two numbers with the interval of its end, and what it is. */
class Bar {
  readonly number = h("output");
  private readonly fill = h("div");
  private readonly interval = h("div", { class: "interval hidden" });
  readonly element = h("div", { class: "fall" }, h("div", {}, this.fill, this.interval), this.number);

  show(from: number, to: number, most: number, kind: string, text: string, ends: [number, number] | null = null): void {
    const percent = (value: number): string => `${(100 * Math.min(Math.max(0, value), most)) / most}%`;
    const between = (element: HTMLElement, a: number, b: number): void => {
      element.style.left = percent(Math.min(a, b));
      element.style.right = `calc(100% - ${percent(Math.max(a, b))})`;
    };
    this.fill.className = kind;
    between(this.fill, from, to);
    this.interval.classList.toggle("hidden", ends === null);
    if (ends) between(this.interval, ...ends);
    put(this.number, text);
  }
}

/** The switches, with the waterfall of the error budget. */
export class BudgetCard {
  readonly card: HTMLElement;
  /** Parts that are exchanged for exact ones. */
  readonly exact = new Set<Part>();
  private readonly bars = new Map<Part, Bar>();
  private readonly switches = new Map<Part, Segments<"yours" | "exact">>();
  private readonly rows = new Map<Part, HTMLElement>();
  private readonly floor = new Bar();
  private readonly total = new Bar();
  private readonly note = h("p", { class: "told", id: "budget-note" });

  constructor(
    private readonly speaker: Speaker,
    onSwitch: () => void,
  ) {
    const row = (word: Word, bar: Bar, ...more: Node[]): HTMLElement =>
      h("div", { class: "part" }, h("span", {}, speaker.text(word)), ...more, bar.element);
    for (const part of PARTS) {
      const bar = new Bar();
      const choice = new Segments<"yours" | "exact">(
        speaker, NAMES[part], [{ value: "yours", word: "yours" }, { value: "exact", word: "exact" }], "yours",
        (value) => {
          if (value === "exact") this.exact.add(part);
          else this.exact.delete(part);
          onSwitch();
        },
      );
      this.bars.set(part, bar);
      this.switches.set(part, choice);
      this.rows.set(part, row(NAMES[part], bar, choice.element));
    }
    this.card = h(
      "section", { class: "card", id: "budget" },
      h("h2", {}, speaker.text("budget")), h("p", {}, speaker.text("budgetHint")),
      row("partFloor", this.floor), ...this.rows.values(), row("partTotal", this.total), this.note,
    );
  }

  /** Who answers, by the switches. */
  get which(): Which {
    if (!this.exact.has("network")) return "learned";
    return this.exact.has("set") || this.rows.get("set")!.classList.contains("hidden") ? "exact" : "set";
  }

  /** Have every part as it is again, but for those that are to be exact. */
  reset(exact: readonly Part[] = []): void {
    this.exact.clear();
    for (const [part, choice] of this.switches) {
      choice.value = exact.includes(part) ? "exact" : "yours";
      if (exact.includes(part)) this.exact.add(part);
    }
  }

  /** Show what was measured: the parts, and the samples with the parts that are chosen now. */
  show(budget: Budget | null, known: boolean, now: number | null): void {
    const { speaker, exact } = this;
    this.rows.get("set")!.classList.toggle("hidden", !known);
    // A network holds its training set: that can be exchanged once the network is.
    for (const button of this.switches.get("set")!.element.querySelectorAll("button")) button.disabled = !exact.has("network");
    const waiting = (bar: Bar): void => bar.show(0, 0, 1, "", "…");
    if (!budget) {
      for (const bar of [this.floor, this.total, ...this.bars.values()]) waiting(bar);
      put(this.note, speaker.say("measuring"));
      return;
    }
    const total = now ?? budget.total.ratio;
    let at = budget.real;
    const places = budget.parts.map(({ part, ratio, low, high }) => {
      const out = part === "set" ? exact.has("set") && exact.has("network") : exact.has(part);
      const place = { part, ratio, low, high, out, from: at };
      if (!out) at += ratio;
      return place;
    });
    const most = 1.05 * Math.max(total, ...places.map(({ from, high }) => Math.max(from, from + high)));
    this.floor.show(0, budget.real, most, "real", budget.real.toFixed(2));
    const signed = (value: number): string => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
    for (const { part, ratio, low, high, out, from } of places) {
      const bar = this.bars.get(part)!;
      bar.show(from, from + ratio, most, out ? "out" : "made", signed(ratio), [from + low, from + high]);
      bar.element.title = speaker.say("partInterval", signed(ratio), signed(low), signed(high));
    }
    this.total.show(0, total, most, "sum", now === null ? "…" : total.toFixed(2));
    // By chance a part may seem to cost something: what is named costs more than that.
    const costly = budget.parts.filter(({ ratio, low }) => ratio > 0.1 && low > 0).sort((a, b) => b.ratio - a.ratio);
    const [first] = costly;
    put(this.note, first ? speaker.say("budgetMost", speaker.say(NAMES[first.part]), first.ratio.toFixed(2)) : speaker.say("budgetNone"));
  }
}
