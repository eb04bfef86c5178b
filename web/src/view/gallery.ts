// What does one see of a run that is only watched? Its samples from noise to data, under each condition.

import type { Choice, ColumnsWalk, PackedWalk, RunPayload, Walks, WatchedWalk } from "../engine/watched.js";
import { Chart } from "./charts.js";
import { ColumnsPicture } from "./columns.js";
import { card, Latest, numberField, Segments } from "./controls.js";
import { colour, digits, h, messageOf, named, put, whole } from "./dom.js";
import { unpackPlaces } from "./payload.js";
import type { Picture } from "./picture.js";
import { Ruler } from "./ruler.js";
import { savingCard } from "./saving.js";
import { SheetsPicture } from "./sheets.js";
import { onKeys, Top } from "./top.js";
import { Speaker, type Language } from "./words.js";

const MOST = 500;
const FIRST_CHOICES = 4;
const BUSY_AFTER = 300; // milliseconds

type Seen = "states" | "estimates";

/** The walk of a file. */
export async function unpackWalk(walk: PackedWalk): Promise<WatchedWalk> {
  if (walk.look === "sheets") return walk;
  const columns = await Promise.all(
    walk.columns.map(async (column) => {
      const real = Array.isArray(column.real) ? [] : await unpackPlaces(column.real);
      return { ...column, real, states: await unpackPlaces(column.states) };
    }),
  );
  return { ...walk, columns } satisfies ColumnsWalk;
}

/** The page of a run. */
export class Gallery {
  private readonly speaker: Speaker;
  private readonly top: Top;
  private readonly ruler: Ruler;
  private readonly picture: Picture;
  private readonly loss = new Chart(140);
  private readonly sentence = h("p", { class: "sentence", "aria-live": "polite" });
  private readonly made = h("p", { id: "made" });
  private readonly busy = h("progress", { max: 1, value: 0, class: "hidden", id: "busy" });
  private readonly fields = new Map<string, HTMLInputElement | HTMLSelectElement>();
  private readonly guidance = h("input", { type: "range", min: 0, max: 10, step: 0.25, id: "guidance" });
  private readonly guidanceNow = h("output", { for: "guidance" });
  private readonly seen: Segments<Seen>;
  private readonly sampler = h("select", { id: "sampler" });
  private readonly steps: ReturnType<typeof numberField>;
  private readonly walksMade = new Latest(() => this.load());
  private seed = 0;
  private walking = false;
  private trouble = "";
  private walk: WatchedWalk | null = null;

  constructor(
    private readonly payload: RunPayload,
    first: WatchedWalk | null,
    private readonly walks: Walks | null,
    language: Language,
  ) {
    const speaker = (this.speaker = new Speaker(language));
    const images = payload.unit === "images";
    this.picture = new (images ? SheetsPicture : ColumnsPicture)(speaker, () => this.draw());
    this.top = new Top(speaker, () => this.show());
    this.ruler = new Ruler(speaker, () => this.draw());
    this.steps = numberField(speaker, "samplerSteps", payload.steps, { min: 1, max: payload.most_steps, step: 1 });
    this.seen = new Segments<Seen>(
      speaker, "what", [{ value: "states", word: "seenStates" }, { value: "estimates", word: "seenEstimates" }], "states",
      () => this.change(),
    );
    this.build();
    onKeys(this.ruler.range, (event) => {
      if (event.key.toLowerCase() === "l") this.top.turnLanguage();
      else return this.ruler.key(event.key);
      return true;
    });
    speaker.whenever(() => {
      named(this.busy, speaker.say("samples"));
      this.show();
    });
    if (walks) {
      walks.onWork = (part) => (this.busy.value = part);
      void this.walksMade.ask();
    } else if (first) {
      void this.take(first);
    }
  }

  // ---- walks

  private change(): void {
    if (this.walking) this.walks?.stop();
    void this.walksMade.ask();
  }

  private async load(): Promise<void> {
    const { walks, busy } = this;
    if (!walks) return;
    this.walking = true;
    busy.value = 0;
    const waiting = setTimeout(() => busy.classList.remove("hidden"), BUSY_AFTER);
    try {
      const condition = this.condition();
      const guided = this.payload.choices.some(({ name, guided: acts }) => acts && name in condition);
      const walk = await walks.walk({
        n: MOST, seed: this.seed, sampler: this.sampler.value || this.payload.sampler, steps: this.steps.value(),
        condition, guidance: guided ? Number(this.guidance.value) : null, estimates: this.seen.value === "estimates",
      });
      this.trouble = "";
      await this.take(walk);
    } catch (error) {
      const what = messageOf(error);
      this.trouble = what === "Stopped." ? "" : this.speaker.say("failed", what);
      this.draw();
    } finally {
      clearTimeout(waiting);
      busy.classList.add("hidden");
      this.walking = false;
    }
  }

  private async take(walk: WatchedWalk): Promise<void> {
    const fresh = this.walk === null;
    this.walk = walk;
    this.made.dataset["walk"] = String(Number(this.made.dataset["walk"] ?? 0) + 1);
    await this.picture.take(walk);
    this.ruler.take(walk.levels);
    if (fresh) this.ruler.moveTo(this.ruler.steps);
    this.show();
  }

  /** What is chosen of each choice. */
  private condition(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const [name, field] of this.fields) if (field.value.trim()) found[name] = field.value.trim();
    return found;
  }

  /** The call in Python that draws such samples. */
  private call(): string {
    const { payload, walk } = this;
    const condition = this.condition();
    const literal = (text: string, { values }: Choice): string =>
      !values.length && Number.isFinite(Number(text)) ? text : JSON.stringify(text);
    const given = payload.choices.filter(({ name, guided }) => name in condition && !guided);
    const own = payload.choices.filter(({ name, guided }) => name in condition && guided);
    const words = [`${walk?.n ?? 100}`, `seed=${this.seed}`, `sampler="${this.sampler.value}"`, `steps=${this.steps.value()}`];
    if (own.length === 1) words.push(`y=${literal(condition[own[0]!.name]!, own[0]!)}`);
    if (own.length > 1) words.push(`y=[${own.map((one) => literal(condition[one.name]!, one)).join(", ")}]`);
    if (given.length) {
      words.push(`given={${given.map((one) => `${JSON.stringify(one.name)}: ${literal(condition[one.name]!, one)}`).join(", ")}}`);
    }
    if (own.length && Number(this.guidance.value) !== 1) words.push(`guidance=${this.guidance.value}`);
    return `run.sample(${words.join(", ")})`;
  }

  // ---- what is shown

  private draw(): void {
    this.picture.draw(this.ruler.position);
    const words = this.trouble || this.picture.sentence();
    if (this.sentence.textContent !== words) put(this.sentence, words);
  }

  private show(): void {
    const { payload, speaker, walk } = this;
    this.top.say(payload.title, payload.recipe_name);
    const { step, value } = payload.loss;
    this.loss.show([{ x: step, y: value, colour: colour("made") }], { logX: false }, speaker.say("loss"));
    const said: string[] = [];
    if (walk) {
      const { sampler, steps, seed, guidance } = walk.how;
      said.push(speaker.say("sampledBy", sampler, steps, seed));
      said.push(...Object.entries(walk.how.condition).map(([name, value]) => `${name}: ${value}`));
      if (guidance !== 1) said.push(`${speaker.say("guidance")} ${guidance}`);
    }
    if (walk?.seconds !== undefined) said.push(speaker.say("inSeconds", digits(walk.seconds)));
    put(this.made, said.join(" · "));
    put(this.guidanceNow, this.guidance.value);
    this.draw();
  }

  private build(): void {
    const { speaker, payload, walks, picture } = this;
    const { quality } = payload;
    const big = h("div", { class: "big" }, h("strong", { id: "ratio" }, quality ? quality.ratio.toFixed(2) : "–"));
    const about = h("p");
    if (quality) {
      const interval = h("span");
      speaker.whenever(() => put(interval, speaker.say("interval", quality.low.toFixed(2), quality.high.toFixed(2))));
      big.append(h("span", {}, speaker.text("timesFloor")), interval);
    }
    speaker.whenever(() => put(about, speaker.say(quality ? "qualityOfRun" : "notMeasured")));
    const rail = [card(speaker, "quality", big, about)];
    if (walks && payload.choices.length) rail.push(card(speaker, "conditionCard", ...this.conditionFields()));
    if (walks) rail.push(card(speaker, "sampler", ...this.samplerFields()));
    if (payload.loss.step.length) rail.push(card(speaker, "loss", this.loss.canvas));
    const bar = h("div", { class: "bar" }, picture.controls);
    if (walks && payload.estimates) bar.append(this.seen.element);
    const note = h("p");
    speaker.whenever(() =>
      put(note, speaker.say(walks ? "engineRemote" : "recordedWalk", whole(payload.weights))),
    );
    const below = h("div", { class: "row" }, this.ruler.slowly);
    const pair = h("div", { class: "pair" }, card(speaker, "oneSample", h("p", {}, speaker.text("oneSampleHint")), picture.one));
    if (walks) {
      pair.append(savingCard(speaker, {
        file: () => walks.save(speaker.language), link: null, python: () => this.call(), keep: null, title: () => payload.title,
      }));
    }
    const main = h(
      "main", { class: "main" }, bar, h("div", { class: "frame" }, picture.element), this.busy, this.ruler.element, below,
      this.sentence, this.made, pair,
    );
    const keys = h("details", {}, h("summary", {}, speaker.text("keys")), h("p", {}, speaker.text("keysOfRun")));
    document.body.replaceChildren(
      this.top.element, h("div", { class: "layout" }, main, h("aside", { class: "rail" }, ...rail)),
      h("footer", {}, note, keys),
    );
  }

  private conditionFields(): HTMLElement[] {
    const { speaker, payload } = this;
    const fields = payload.choices.map((choice, i) => {
      const field = choice.values.length
        ? h("select", {}, h("option", { value: "" }, speaker.text("anyValue")), ...choice.values.map((v) => h("option", { value: v }, v)))
        : h("input", { type: "text" });
      field.id = `choice-${i}`;
      if (!choice.values.length) speaker.whenever(() => field.setAttribute("placeholder", speaker.say("anyValue")));
      field.addEventListener("change", () => this.change());
      this.fields.set(choice.name, field);
      return h("label", {}, h("span", {}, choice.name), field);
    });
    const found = [h("div", { class: "fields" }, ...fields.slice(0, FIRST_CHOICES))];
    if (fields.length > FIRST_CHOICES) {
      const rest = h("div", { class: "fields" }, ...fields.slice(FIRST_CHOICES));
      found.push(h("details", {}, h("summary", {}, speaker.text("moreColumns")), rest) as HTMLElement as HTMLDivElement);
    }
    if (payload.guidance !== null) {
      this.guidance.value = String(payload.guidance);
      this.guidance.addEventListener("input", () => put(this.guidanceNow, this.guidance.value));
      this.guidance.addEventListener("change", () => this.change());
      found.push(h("div", { class: "ink" }, h("label", { for: "guidance" }, speaker.text("guidance"), " ", this.guidanceNow), this.guidance));
    }
    return found;
  }

  private samplerFields(): HTMLElement[] {
    const { speaker, payload, sampler } = this;
    sampler.append(...(payload.samplers.length ? payload.samplers : [payload.sampler]).map((name) => h("option", { value: name }, name)));
    sampler.value = payload.sampler;
    for (const control of [sampler, this.steps.label]) control.addEventListener("change", () => this.change());
    const fresh = h("button", { id: "new-noise", onclick: () => {
      this.seed++;
      this.change();
    } }, speaker.text("newNoise"));
    return [
      h("div", { class: "fields" }, h("label", {}, h("span", {}, speaker.text("sampler")), sampler), this.steps.label),
      h("div", { class: "row" }, fresh),
    ];
  }
}
