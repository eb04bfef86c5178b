// How good are the samples? The one big number, where it is from, and what it is to be compared with.

import type { Ratio } from "../engine/distance.js";
import type { Progress } from "../engine/protocol.js";
import { card } from "./controls.js";
import { h, on, put } from "./dom.js";
import type { Speaker, Word } from "./words.js";

/** A distance over the floor, with its interval. */
export type InFloors = Pick<Ratio, "ratio" | "low" | "high">;

/** What is known of the samples. */
export interface Known {
  /** The training that runs. */
  training: Progress | null;
  /** As measured when the run was trained; null where something else is shown. */
  own: InFloors | null;
  /** As measured for what is shown now. */
  here: Ratio | null;
  measuring: boolean;
  /** Of the exact denoiser, with the same sampler. */
  exact: Ratio | null;
  /** Which part of samples is near to a training point. */
  heart: number | null;
  /** Where the own number is from, or what is measured. */
  source: string;
  /** How "here" is said. */
  hereIs: Word;
  twoClouds: boolean;
}

export class QualityCard {
  readonly card: HTMLElement;
  private readonly big = h("strong", { id: "ratio" });
  private readonly interval = h("span");
  private readonly source = h("p");
  private readonly here = h("p", { id: "here" });
  private readonly exact = h("p");
  private readonly heart = h("p");
  private readonly floor = h("button", { class: "link" });

  constructor(
    private readonly speaker: Speaker,
    onFloor: () => void,
  ) {
    on(this.floor, "click", onFloor);
    this.card = card(
      speaker, "quality",
      h("div", { class: "big" }, this.big, h("span", {}, speaker.text("timesFloor")), this.interval),
      this.source, this.here, this.exact, this.heart, h("p", {}, this.floor),
    );
  }

  show(known: Known): void {
    const { speaker } = this;
    const { training, own, here, measuring, exact, heart } = known;
    put(this.floor, speaker.say(known.twoClouds ? "floorHide" : "floorWhat"));
    if (training) {
      put(this.big, Number.isFinite(training.ratio) ? training.ratio.toFixed(2) : "…");
      for (const note of [this.interval, this.here, this.exact, this.heart]) put(note, "");
      put(this.source, speaker.say("fromTraining", (training.samples?.length ?? 0) / 2));
      return;
    }
    const best = own ?? here;
    put(this.big, best ? best.ratio.toFixed(2) : measuring ? "…" : "–");
    put(this.interval, best ? speaker.say("interval", best.low.toFixed(2), best.high.toFixed(2)) : "");
    put(this.source, known.source);
    const words = here && speaker.say(known.hereIs, here.ratio.toFixed(2), here.low.toFixed(2), here.high.toFixed(2));
    put(this.here, words ?? (measuring ? speaker.say("measuring") : ""));
    put(this.exact, exact ? speaker.say("exactQuality", exact.ratio.toFixed(2)) : "");
    put(this.heart, heart === null ? "" : speaker.say("heart", Math.round(100 * heart)));
  }
}
