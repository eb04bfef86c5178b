// What did the network draw at an earlier step of its training? The ruler of the states that were kept.

import type { Trained } from "../engine/protocol.js";
import { h, named, on, put, whole } from "./dom.js";
import type { Speaker } from "./words.js";

/** A ruler through the training. */
export class History {
  readonly element: HTMLElement;
  private readonly range = h("input", { type: "range", min: 0, step: 1, id: "history" });
  private readonly now = h("output", { for: "history" });

  constructor(private readonly speaker: Speaker, onMove: (index: number) => void) {
    speaker.whenever(() => named(this.range, speaker.say("history")));
    this.element = h(
      "div", { class: "history hidden" }, h("label", { for: "history" }, speaker.text("history")), this.range, this.now,
    );
    on(this.range, "input", () => onMove(this.index));
  }

  get index(): number {
    return Number(this.range.value);
  }

  set index(index: number) {
    this.range.value = String(index);
  }

  /** Begin at the end of a training. */
  take({ snapshots }: Trained): void {
    this.range.max = String(snapshots.length - 1);
    this.index = snapshots.length - 1;
  }

  /** Show which state is looked at; null is the last. */
  show(trained: Trained | null, snapshot: number | null): void {
    const several = (trained?.snapshots.length ?? 0) > 1;
    this.element.classList.toggle("hidden", !several);
    if (!several) return;
    const step = trained!.snapshots[snapshot ?? trained!.snapshots.length - 1]!;
    put(this.now, this.speaker.say("historyNow", whole(step)));
    this.range.setAttribute("aria-valuetext", this.now.textContent);
  }
}
