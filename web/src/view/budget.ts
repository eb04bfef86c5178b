// Which part of the way from noise to samples costs what? Each can be exchanged for an exact one.

import type { Budget, Part, Which } from "../engine/protocol.js";
import { Segments } from "./controls.js";
import { h, put } from "./dom.js";
import type { Speaker, Word } from "./words.js";

const PARTS: readonly Part[] = ["steps", "start", "set", "network"];
const NAMES: Record<Part, Word> = { steps: "partSteps", start: "partStart", set: "partSet", network: "partNetwork" };

/** A line of the waterfall: a bar between two numbers, and what it is. */
class Bar {
  readonly number = h("output");
  private readonly fill = h("div");
  readonly element = h("div", { class: "fall" }, h("div", {}, this.fill), this.number);

  show(from: number, to: number, most: number, kind: string, text: string): void {
    const percent = (value: number): string => `${(100 * Math.max(0, value)) / most}%`;
    this.fill.className = kind;
    this.fill.style.left = percent(Math.min(from, to));
    this.fill.style.width = percent(Math.abs(to - from));
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

  /** Have every part as it is again. */
  reset(): void {
    this.exact.clear();
    for (const choice of this.switches.values()) choice.value = "yours";
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
    const places = budget.parts.map(({ part, ratio }) => {
      const out = part === "set" ? exact.has("set") && exact.has("network") : exact.has(part);
      const place = { part, ratio, out, from: at };
      if (!out) at += ratio;
      return place;
    });
    const most = 1.05 * Math.max(total, ...places.map(({ from, ratio }) => Math.max(from, from + ratio)));
    this.floor.show(0, budget.real, most, "real", budget.real.toFixed(2));
    for (const { part, ratio, out, from } of places) {
      const sign = ratio < 0 ? "−" : "+";
      this.bars.get(part)!.show(from, from + ratio, most, out ? "out" : "made", sign + Math.abs(ratio).toFixed(2));
    }
    this.total.show(0, total, most, "sum", now === null ? "…" : total.toFixed(2));
    const { part, ratio } = budget.parts.reduce((a, b) => (b.ratio > a.ratio ? b : a));
    put(this.note, ratio > 0.1 ? speaker.say("budgetMost", speaker.say(NAMES[part]), ratio.toFixed(2)) : speaker.say("budgetNone"));
  }
}
