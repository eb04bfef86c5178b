// Of which class, and how strongly asked for? Samples of one colour, with classifier-free guidance.

import { Segments } from "./controls.js";
import { h, put } from "./dom.js";
import type { Speaker } from "./words.js";

/** The colours of two classes, by their names in the style. */
export const CLASS_COLOURS = ["real", "answer"] as const;

type Choice = "all" | "0" | "1";

/** The card of classes; for data that has some. */
export class ClassCard {
  readonly card: HTMLElement;
  private readonly choice: Segments<Choice>;
  private readonly scale = h("input", { type: "range", id: "guidance", min: 0, max: 6, step: 0.25, value: 1 });
  private readonly now = h("output", { for: "guidance" });

  constructor(speaker: Speaker, onChange: () => void) {
    this.choice = new Segments<Choice>(
      speaker, "ofClass",
      [{ value: "all", word: "classAll" }, { value: "0", word: "classFirst" }, { value: "1", word: "classSecond" }],
      "all", onChange,
    );
    this.scale.addEventListener("input", () => this.show());
    this.scale.addEventListener("change", onChange);
    this.card = h(
      "section", { class: "card hidden", id: "classes" },
      h("h2", {}, speaker.text("classes")), h("p", {}, speaker.text("classesHint")),
      h("div", { class: "row" }, this.choice.element),
      h("label", { class: "history" }, speaker.text("guidance"), this.scale, this.now),
    );
    this.show();
  }

  /** The class that is asked for; null: none. */
  get label(): number | null {
    return this.choice.value === "all" ? null : Number(this.choice.value);
  }

  get guidance(): number {
    return Number(this.scale.value);
  }

  reset(): void {
    this.choice.value = "all";
    this.scale.value = "1";
    this.show();
  }

  private show(): void {
    put(this.now, this.scale.value);
  }
}
