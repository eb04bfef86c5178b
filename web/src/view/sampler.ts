// How are samples drawn? The sampler, its steps, how many points, and noise anew.

import type { Walk } from "../engine/protocol.js";
import { SAMPLERS, type SamplerName } from "../engine/samplers.js";
import { card, numberField } from "./controls.js";
import { digits, h, whole } from "./dom.js";
import type { Speaker } from "./words.js";

export interface Drawing {
  name: SamplerName;
  steps: number;
  points: number;
}

/** The card of the sampler. */
export class SamplerCard {
  readonly card: HTMLElement;
  private readonly note = h("p");
  /** Show what is chosen elsewhere. */
  readonly set: (drawing: Drawing) => void;

  constructor(
    private readonly speaker: Speaker,
    begin: Drawing,
    most: number,
    onChange: (wanted: Drawing) => void,
    onFresh: () => void,
  ) {
    const select = h("select", { id: "sampler" }, ...SAMPLERS.map((name) => h("option", { value: name }, name)));
    select.value = begin.name;
    const steps = numberField(speaker, "samplerSteps", begin.steps, { min: 1, max: most, step: 1 });
    const points = numberField(speaker, "points", begin.points, { min: 100, max: 20_000, step: 100 });
    this.set = (drawing) => {
      select.value = drawing.name;
      steps.set(drawing.steps);
      points.set(drawing.points);
    };
    for (const control of [select, steps.label, points.label]) {
      control.addEventListener("change", () =>
        onChange({ name: select.value as SamplerName, steps: steps.value(), points: points.value() }),
      );
    }
    this.card = card(
      speaker, "sampler",
      h(
        "div", { class: "fields" },
        h("label", {}, h("span", {}, speaker.text("sampler")), select), steps.label, points.label,
      ),
      h("div", { class: "row" }, h("button", { onclick: onFresh }, speaker.text("newNoise"))),
      this.note,
    );
  }

  /** Say what a walk cost. */
  show(walk: Walk | undefined): void {
    this.note.textContent = walk?.evaluations
      ? this.speaker.say("drawn", whole(walk.evaluations), digits(walk.seconds), digits(walk.evaluations / walk.seconds / 1e6))
      : "";
  }
}
