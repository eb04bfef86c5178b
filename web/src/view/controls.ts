// What can be pressed and chosen? Native elements with words that follow the language.

import { h } from "./dom.js";
import type { Speaker, Word } from "./words.js";

/** Run one piece of work at a time; of requests that come meanwhile only the latest is done. */
export class Latest {
  private running = false;
  private again = false;

  constructor(private readonly work: () => Promise<void>) {}

  async ask(): Promise<void> {
    this.again = true;
    if (this.running) return;
    this.running = true;
    try {
      while (this.again) {
        this.again = false;
        await this.work();
      }
    } finally {
      this.running = false;
    }
  }
}

/** A part of the page under a heading. */
export const card = (speaker: Speaker, word: Word, ...children: (Node | string)[]): HTMLElement =>
  h("section", { class: "card" }, h("h2", {}, speaker.text(word)), ...children);

/** Buttons side by side, of which one is pressed. */
export class Segments<T extends string> {
  readonly element: HTMLElement;
  private readonly buttons: HTMLButtonElement[];

  constructor(
    speaker: Speaker,
    name: Word,
    choices: readonly { value: T; word: Word; title?: Word }[],
    private chosen: T,
    onChoose: (value: T) => void,
  ) {
    this.buttons = choices.map(({ value, word, title }) => {
      const button = h("button", { "data-value": value, onclick: () => {
        this.value = value;
        onChoose(value);
      } }, speaker.text(word));
      if (title) speaker.whenever(() => (button.title = speaker.say(title)));
      return button;
    });
    this.element = h("div", { class: "segments", role: "group" }, ...this.buttons);
    speaker.whenever(() => this.element.setAttribute("aria-label", speaker.say(name)));
    this.value = chosen;
  }

  get value(): T {
    return this.chosen;
  }

  set value(value: T) {
    this.chosen = value;
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset["value"] === value));
  }
}

/** A labelled number; its label is a word, or a name that is the same in all languages. */
export function numberField(
  speaker: Speaker,
  word: Word | Text,
  value: number,
  limits: { min: number; max: number; step: number | "any" },
): { label: HTMLLabelElement; value: () => number; set: (value: number) => void } {
  const input = h("input", { type: "number", value, ...limits, inputmode: "decimal" });
  const said = h("small", { "aria-live": "polite" });
  const label = h("label", {}, h("span", {}, typeof word === "string" ? speaker.text(word) : word), input, said);
  return {
    label,
    value: () => {
      const given = Number(input.value);
      const good = input.value !== "" && Number.isFinite(given) ? given : value;
      const kept = Math.min(limits.max, Math.max(limits.min, limits.step === 1 ? Math.round(good) : good));
      const outside = good < limits.min || good > limits.max;
      const ends = [limits.min, limits.max].map((end) => end.toLocaleString("en", { maximumSignificantDigits: 6 }));
      said.textContent = outside ? speaker.say("keptWithin", ...ends) : "";
      if (String(kept) !== input.value) input.value = String(kept);
      return kept;
    },
    set: (next) => (input.value = String(next)),
  };
}

const SHAPES = {
  play: "M4 2l10 6-10 6z",
  pause: "M3 2h4v12H3zM9 2h4v12H9z",
  before: "M12 2L5 8l7 6zM3 2h2v12H3z",
  next: "M4 2l7 6-7 6zM11 2h2v12h-2z",
  theme: "M8 1a7 7 0 1 0 0 14zM8 1a7 7 0 0 1 0 14V13A5 5 0 0 0 8 3z",
};

/** Make an element of a drawing. */
export function svg(tag: string, attributes: Record<string, string | number>, ...children: Node[]): SVGElement {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag) as SVGElement;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** A small picture on a button. */
export const icon = (name: keyof typeof SHAPES): SVGElement =>
  svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: SHAPES[name] }));

/** The sign of the project: a ring that scatters. */
export function mark(): SVGElement {
  const dots = Array.from({ length: 22 }, (_, i) => {
    const turn = (i / 22) * 2 * Math.PI;
    const scatter = (i / 22) ** 2;
    const radius = 9 + 3.2 * scatter * Math.sin(i * 12.9898);
    const [cx, cy] = [13 + radius * Math.cos(turn), 13 + radius * Math.sin(turn)];
    return svg("circle", { cx, cy, r: 1.5 - 0.5 * scatter, fill: i > 14 ? "#d8442f" : "#8b3fa8" });
  });
  return svg("svg", { viewBox: "0 0 26 26", class: "mark", "aria-hidden": "true" }, ...dots);
}
