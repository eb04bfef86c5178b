// At which noise levels is the network wrong? A chart that can be clicked, and the worst level in words.

import type { LevelErrors } from "../engine/protocol.js";
import { Chart } from "./charts.js";
import { card } from "./controls.js";
import { colour, digits, h, on, put } from "./dom.js";
import type { Speaker } from "./words.js";

export class ErrorsCard {
  readonly card: HTMLElement;
  private readonly chart = new Chart(120);
  private readonly worst = h("button", { class: "link" });
  private ratio = 1;

  constructor(
    private readonly speaker: Speaker,
    goTo: (ratio: number) => void,
  ) {
    this.chart.canvas.classList.add("pick");
    this.chart.onPick = goTo;
    on(this.worst, "click", () => goTo(this.ratio));
    this.card = card(speaker, "levels", this.chart.canvas, h("p", {}, this.worst));
  }

  /** Show errors, with a ratio of noise to signal marked; return the worst one. */
  show(errors: LevelErrors, mark: number | null): number {
    const worst = errors.excess.reduce((at, value, i) => (value > errors.excess[at]! ? i : at), 0);
    this.ratio = errors.ratio[worst]!;
    const line = { x: errors.ratio, y: errors.excess, colour: colour("wrong"), dots: true };
    const words = this.speaker.say("levelsSentence", digits(this.ratio));
    this.chart.show([line], { logX: true, xName: "σ/α", mark }, words);
    put(this.worst, words);
    return this.ratio;
  }
}
