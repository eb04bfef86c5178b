// What is in a page that was saved? Plain data: JSON, with arrays as packed text. Nothing of it is run.

import type { LawSpec, Point } from "../engine/laws.js";
import { bytesOf } from "../engine/memory.js";
import type { Tensors } from "../engine/network.js";
import type { Budget, Recipe, Setup } from "../engine/protocol.js";
import type { Recorded } from "./mend.js";
import type { Language } from "./words.js";

/** Float32 numbers: their bytes by place, deflated, as base64. */
export interface Packed {
  shape: number[];
  packed: string;
}

export interface Payload {
  version: string;
  title: string;
  recipe_name: string;
  columns: [string, string] | null;
  language: "en" | "zh";
  quality: { ratio: number; low: number; high: number } | null;
  loss: { step: number[]; value: number[] };
  /** The sampler of the run, where the page has not got it. */
  sampler_of_run: string | null;
  seed: number;
  /** The call in Python that gives the same run, where there is one: data, and settings beside the recipe's. */
  call: { data: string; settings: Record<string, unknown> } | null;
  size: number;
  /** How many points are drawn, and how many are measured. */
  counts: { shown: number; clouds: { n: number; draws: number }; errors: number; batches: number };
  /** Where this is one of several recorded runs. */
  recorded?: Recorded;
  /** What each part costs, where that was measured beforehand. */
  budget?: Budget;
  law: LawSpec | { kind: "points" };
  scaling: { shift: Point; scale: Point };
  recipe: Recipe;
  data: Packed | null;
  /** Weights; null where nothing is trained yet. */
  tensors: (Packed & { names: { name: string; shape: number[] }[] }) | null;
}

/** Read packed numbers of so many bytes each. */
async function unpackBytes({ packed }: Packed, size: number): Promise<ArrayBuffer> {
  const stream = new Blob([bytesOf(packed)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const n = planes.length / size;
  const out = new Uint8Array(planes.length);
  for (let i = 0; i < n; i++) for (let b = 0; b < size; b++) out[size * i + b] = planes[b * n + i]!;
  return out.buffer;
}

/** Read packed numbers. */
export const unpack = async (packed: Packed): Promise<Float32Array> => new Float32Array(await unpackBytes(packed, 4));

/** Read packed places on an axis. */
export const unpackPlaces = async (packed: Packed): Promise<Uint16Array> => new Uint16Array(await unpackBytes(packed, 2));

/** Pack numbers as `unpack` reads them. */
export async function pack(values: Float32Array): Promise<Packed> {
  const bytes = new Uint8Array(values.buffer);
  const planes = bytes.map((_, i) => bytes[4 * (i % values.length) + Math.floor(i / values.length)]!);
  const stream = new Blob([planes]).stream().pipeThrough(new CompressionStream("deflate"));
  let text = "";
  for (const byte of new Uint8Array(await new Response(stream).arrayBuffer())) text += String.fromCharCode(byte);
  return { shape: [values.length], packed: btoa(text) };
}

/** Read weights. */
async function weightsOf(packed: NonNullable<Payload["tensors"]>): Promise<Tensors> {
  const values = await unpack(packed);
  const tensors: Tensors = {};
  let at = 0;
  for (const { name, shape } of packed.names) {
    const size = shape.reduce((a, b) => a * b, 1);
    tensors[name] = { shape, values: values.slice(at, at + size) };
    at += size;
  }
  return tensors;
}

/** What the engine is set up with. */
export async function setupOf(payload: Payload): Promise<Setup> {
  const data = payload.data ? await unpack(payload.data) : null;
  const tensors = payload.tensors && (await weightsOf(payload.tensors));
  const law: LawSpec = payload.law.kind === "points" ? { kind: "points", points: data! } : (payload.law as LawSpec);
  const { size, scaling, recipe, seed } = payload;
  return { law, data, size, scaling, recipe, tensors, seed };
}

/** The language of the address, else of the page, else of the browser. */
export function chosenLanguage(chosen: URLSearchParams, own: string): Language {
  const asked = chosen.get("lang") ?? own;
  return asked === "zh" || (asked !== "en" && navigator.language.startsWith("zh")) ? "zh" : "en";
}
