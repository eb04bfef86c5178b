// Which sampler needs how many evaluations? All from like noise, by their distance from data over the floor.

import type { Engine, SamplingSettings } from "../engine/protocol.js";
import { evaluations, type SamplerName } from "../engine/samplers.js";
import { Chart, type Line } from "./charts.js";
import { card } from "./controls.js";
import { colour, digits, h, messageOf, put } from "./dom.js";
import type { Speaker } from "./words.js";

const RUNNERS: readonly (readonly [SamplerName, string])[] = [
  ["ddpm", "noise"], ["ddim", "answer"], ["heun", "good"], ["dpmpp_2m", "made"],
];
const STEPS = [4, 8, 16, 32];
const CLOUD = { n: 1000, draws: 4 };

interface Track {
  name: string;
  colour: string;
  exact: boolean;
  x: number[];
  y: number[];
}

/** The card of the race. */
export class Race {
  readonly card: HTMLElement;
  private readonly chart = new Chart(150);
  private readonly legend = h("ul", { class: "legend" });
  private readonly note = h("p", { class: "told" });
  private readonly start: HTMLButtonElement;
  private tracks: Track[] = [];
  private running = false;

  constructor(
    private readonly speaker: Speaker,
    private readonly engine: Engine,
    private readonly sampling: () => SamplingSettings,
    private readonly exactToo: () => boolean,
    private readonly mostSteps: number,
  ) {
    this.start = h("button", { id: "race", onclick: () => void this.run() }, speaker.text("raceStart"));
    this.card = card(
      speaker, "race", h("p", {}, speaker.text("raceHint")),
      this.chart.canvas, this.legend, this.note, h("div", { class: "row" }, this.start),
    );
    this.show();
  }

  /** Forget a race that was run on another network. */
  clear(): void {
    this.tracks = [];
    this.show();
  }

  private async run(): Promise<void> {
    if (this.running) return;
    this.running = this.start.disabled = true;
    this.tracks = RUNNERS.map(([name, ink]) => ({ name, colour: ink, exact: false, x: [], y: [] }));
    if (this.exactToo()) this.tracks.push({ name: "dpmpp_2m", colour: "real", exact: true, x: [], y: [] });
    const { tracks } = this;
    try {
      for (const steps of STEPS.filter((n) => n <= this.mostSteps)) {
        for (const track of tracks) {
          const name = track.name as SamplerName;
          const sampling: SamplingSettings = { ...this.sampling(), name, steps, eta: 0 };
          const which = track.exact ? "exact" : "learned";
          const { ratio } = await this.engine.ask("quality", { which, ...CLOUD, sampling });
          track.x.push(evaluations(name, steps));
          track.y.push(ratio);
          if (tracks === this.tracks) this.show();
        }
      }
    } catch (error) {
      put(this.note, this.speaker.say("failed", messageOf(error)));
    }
    this.running = this.start.disabled = false;
  }

  /** Draw what there is, in the words and colours of now. */
  show(): void {
    const { speaker, tracks } = this;
    const began = tracks.some((track) => track.x.length > 0);
    for (const part of [this.chart.canvas, this.legend, this.note]) part.classList.toggle("hidden", !began);
    if (!began) return;
    const lines: Line[] = tracks.map(({ x, y, colour: ink, exact }) => ({ x, y, colour: colour(ink), dots: true, dashed: exact }));
    const named = ({ name, exact }: Track): string => (exact ? `${name}, ${speaker.say("exact")}` : name);
    this.legend.replaceChildren(
      ...tracks.map((track) => {
        const item = h("li", {}, named(track));
        item.style.color = colour(track.colour);
        return item;
      }),
    );
    const all = tracks.filter((t) => !t.exact).flatMap((t) => t.x.map((x, i) => ({ t, x, y: t.y[i]! })));
    const least = Math.min(...all.map(({ y }) => y));
    const near = all.filter(({ y }) => y <= 1.1 * least).sort((a, b) => a.x - b.x)[0]!;
    const words = speaker.say("raceWon", near.t.name, near.x, digits(near.y));
    put(this.note, words);
    this.chart.show(lines, { logX: true }, words);
  }
}
