// What would a denoiser answer at one point, and where does the point go? In words.

import type { Scaling } from "../engine/exact.js";
import type { Path } from "../engine/protocol.js";
import { ratioOf } from "../engine/schedules.js";
import { card } from "./controls.js";
import { digits, h, on, put } from "./dom.js";
import type { Speaker } from "./words.js";

export class PointCard {
  readonly card: HTMLElement;
  private readonly note = h("p", { class: "told", id: "point-note" });
  private readonly legend = h("ul", { class: "legend hidden" });
  private readonly clear = h("button", { class: "hidden" });

  constructor(
    private readonly speaker: Speaker,
    onClear: () => void,
  ) {
    on(this.clear, "click", onClear);
    speaker.whenever(() => {
      put(this.clear, speaker.say("pointClear"));
      const items = [["made", "pathLearned"], ["real", "pathExact"], ["cloud", "posterior"]] as const;
      this.legend.replaceChildren(...items.map(([name, word]) => h("li", { class: name }, speaker.say(word))));
    });
    this.card = card(
      speaker, "point", this.note, this.legend, h("div", { class: "row" }, this.clear),
    );
  }

  show(path: Path | null, { shift, scale }: Scaling): void {
    const { speaker } = this;
    const place = (x: ArrayLike<number>): [string, string] => [
      digits(x[0]! * scale[0]! + shift[0]!), digits(x[1]! * scale[1]! + shift[1]!),
    ];
    let words = speaker.say("pointHint");
    if (path) {
      const apart = Math.hypot(...[0, 1].map((d) => (path.answer[d]! - path.mean[d]!) * scale[d]!));
      const ends = [path.learned, path.exact].flatMap((states) => place(states.subarray(-2)));
      words =
        `${speaker.say("pointSentence", digits(ratioOf(path.levels[0]!)), ...place(path.mean), ...place(path.answer), digits(apart))} ` +
        speaker.say("pointEnds", ...ends);
    }
    if (this.note.textContent !== words) put(this.note, words);
    this.legend.classList.toggle("hidden", !path);
    this.clear.classList.toggle("hidden", !path);
  }
}
