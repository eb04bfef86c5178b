// What was chosen? As a link that another page can read, and as the call in Python.

import { BUILT_IN, type LawSpec, type Point } from "../engine/laws.js";
import { SAMPLERS } from "../engine/samplers.js";
import { makeSchedule, type ScheduleSettings } from "../engine/schedules.js";
import type { Part } from "../engine/protocol.js";
import type { Payload } from "./payload.js";

/** Everything that a training in the page depends on, and the sampler. */
export interface Chosen {
  law: LawSpec | null;
  schedule: ScheduleSettings;
  numbers: { seed: number; size: number; steps: number; width: number; rate: number; batch: number; ema: number };
  distance: string;
  /** Of the learning rate. */
  decay: string;
  /** Whether the data was brought to deviation 1 in the page. */
  standard: boolean;
  sampler: string;
  samplerSteps: number;
}

/** What is looked at, and where between noise and data; `level` is noise over signal, null the data. */
export interface Seen {
  mode: "walk" | "forward";
  field: "none" | "score" | "velocity" | "density";
  side: "learned" | "exact" | "difference";
  exact: Part[];
  level: number | null;
  /** In the picture, of which the middle is 0. */
  point: Point | null;
}

const NOTHING: Seen = { mode: "walk", field: "none", side: "learned", exact: [], level: null, point: null };
const SEEN = {
  mode: ["forward"],
  field: ["score", "velocity", "density"],
  side: ["exact", "difference"],
} as const;
const PARTS: readonly Part[] = ["steps", "start", "set", "network"];

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** The address of this page, with what differs from its own settings. */
export function linkOf(own: Chosen, now: Chosen, seen: Seen, language: string): string {
  const link = new URLSearchParams({ lang: language });
  const put = (name: string, value: unknown, before: unknown): void => {
    if (!same(value, before)) link.set(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  };
  put("law", now.law?.kind === "strokes" ? { ...now.law, strokes: now.law.strokes.map(rounded) } : now.law, own.law);
  put("schedule", now.schedule, own.schedule);
  put("distance", now.distance, own.distance);
  put("decay", now.decay, own.decay);
  put("standard", now.standard, own.standard);
  put("sampler", now.sampler, own.sampler);
  put("samplerSteps", now.samplerSteps, own.samplerSteps);
  for (const [name, value] of Object.entries(now.numbers)) put(name, value, own.numbers[name as keyof Chosen["numbers"]]);
  const { level, point } = seen;
  put("mode", seen.mode, NOTHING.mode);
  put("field", seen.field, NOTHING.field);
  if (seen.field !== "none") put("side", seen.side, NOTHING.side);
  if (seen.exact.length) link.set("exact", seen.exact.join());
  if (level !== null) link.set("level", String(Number(Math.min(level, 1e6).toPrecision(3))));
  if (point) link.set("point", rounded([point]).join());
  return `${location.href.split("#")[0]}#${link.toString()}`;
}

const rounded = (stroke: Point[]): Point[] => stroke.map((p) => p.map((v) => Math.round(1000 * v) / 1000) as Point);

/** What a link says, each thing only where it can be; null where it says nothing. */
export function readLink(link: URLSearchParams, own: Chosen): Chosen | null {
  const wanted: Chosen = { ...own, numbers: { ...own.numbers } };
  const json = (name: string): unknown => {
    try {
      return JSON.parse(link.get(name) ?? "null");
    } catch {
      return null;
    }
  };
  wanted.law = lawOf(json("law")) ?? own.law;
  wanted.schedule = scheduleOf(json("schedule")) ?? own.schedule;
  const distance = link.get("distance");
  if (distance === "l1" || distance === "l2" || distance === "huber") wanted.distance = distance;
  const decay = link.get("decay");
  if (decay === "none" || decay === "linear") wanted.decay = decay;
  wanted.standard ||= link.get("standard") === "true";
  const sampler = link.get("sampler");
  if ((SAMPLERS as readonly string[]).includes(sampler ?? "")) wanted.sampler = sampler!;
  const steps = Number(link.get("samplerSteps"));
  if (steps >= 1 && steps <= 1000) wanted.samplerSteps = Math.round(steps);
  for (const name of Object.keys(own.numbers) as (keyof Chosen["numbers"])[]) {
    const value = Number(link.get(name) || NaN);
    if (Number.isFinite(value)) wanted.numbers[name] = value; // its field keeps it within bounds
  }
  return same(wanted, own) ? null : wanted;
}

/** What a link looks at, each thing only where it can be; null where it looks at nothing. */
export function readSeen(link: URLSearchParams): Seen | null {
  const seen: Seen = { ...NOTHING };
  for (const name of Object.keys(SEEN) as (keyof typeof SEEN)[]) {
    const value = SEEN[name].find((one) => one === link.get(name));
    if (value) Object.assign(seen, { [name]: value });
  }
  const exact = (link.get("exact") ?? "").split(",");
  seen.exact = PARTS.filter((part) => exact.includes(part));
  const level = Number(link.get("level"));
  if (level > 0 && level <= 1e6) seen.level = level;
  const point = (link.get("point") ?? "").split(",").map(Number);
  if (finite(point, 2, 2) && point.every((v) => Math.abs(v) < 10)) seen.point = point as Point;
  return same(seen, NOTHING) ? null : seen;
}

const finite = (values: unknown, least: number, most: number): values is number[] =>
  Array.isArray(values) && values.length >= least && values.length <= most && values.every(Number.isFinite);

function lawOf(law: unknown): LawSpec | null {
  const { kind, name, noise, strokes, classes } = (law ?? {}) as Record<string, unknown>;
  if (kind === "builtin" && typeof name === "string" && Object.hasOwn(BUILT_IN, name)) return { kind, name, noise: BUILT_IN[name]! };
  const ink = Number(noise);
  if (kind !== "strokes" || !Array.isArray(strokes) || !(ink >= 0.005 && ink <= 10)) return null;
  const good = strokes.every((stroke) => Array.isArray(stroke) && stroke.length && stroke.every((p) => finite(p, 2, 2)));
  if (!good || strokes.flat().length > 4000) return null;
  const drawn: LawSpec = { kind, strokes: strokes as Point[][], noise: ink };
  const two = finite(classes, strokes.length, strokes.length) && classes.includes(0) && classes.includes(1);
  return two && classes.every((k) => k === 0 || k === 1) ? { ...drawn, classes } : drawn;
}

function scheduleOf(settings: unknown): ScheduleSettings | null {
  const schedule = settings as ScheduleSettings | null;
  if (typeof schedule?.name !== "string" || Number(schedule["T"] ?? 1) > 4000) return null;
  try {
    const { tMin, tMax } = makeSchedule(schedule);
    return Number.isFinite(tMax - tMin) ? schedule : null;
  } catch {
    return null;
  }
}

/** A value as Python writes it. */
const literal = (value: unknown): string =>
  JSON.stringify(value).replace(/\b(null|true|false)\b/g, (word) => ({ null: "None", true: "True" })[word] ?? "False");

/** The call in Python that gives this training: the settings that are not the recipe's. */
export function callOf(call: NonNullable<Payload["call"]>, recipe: string, own: Chosen, now: Chosen): string {
  const { seed, size, steps, width, rate, batch, ema } = now.numbers;
  const settings: Record<string, unknown> = {
    ...call.settings, seed, "training.steps": steps, "network.width": width, "training.learning_rate": rate,
    "training.batch_size": batch, "training.ema_decay": ema, "loss.distance": now.distance, "training.decay": now.decay,
  };
  if (now.standard) settings["data.scaling"] = "standard";
  if (!same(now.schedule, own.schedule)) {
    for (const [key, value] of Object.entries(now.schedule)) settings[`schedule.${key}`] = value;
  }
  const { law } = now;
  let [before, data] = ["import diffuscope\n", literal(call.data)];
  if (law?.kind === "strokes") {
    before = `import diffuscope\nfrom diffuscope.studio.drawing import drawn_data\n\nstrokes = ${literal(law.strokes)}\n`;
    const classes = law.classes ? `, classes=${literal(law.classes)}` : "";
    data = `drawn_data(strokes, ${law.noise}, ${size}, ${seed}${classes})`;
  } else {
    settings["data.size"] = size;
    if (law?.kind === "builtin" && !same(law, own.law)) data = literal(law.name);
  }
  const lines = Object.entries(settings).map(([key, value]) => `    "${key}": ${literal(value)},`).join("\n");
  return `${before}\nrun = diffuscope.train(${data}, recipe=${literal(recipe)}, settings={\n${lines}\n})`;
}
