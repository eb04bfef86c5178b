// What is sent of a run that is only watched? Moments of its samples on their way from noise.

import type { Packed } from "../view/payload.js";
import type { Level } from "./schedules.js";

/** Something that samples can be conditioned on; without values a text is typed. */
export interface Choice {
  name: string;
  values: string[];
  guided: boolean;
}

/** Places on an axis: 0 to 65,534 between its limits, 65,535 where a value is missing. */
export type Places = Uint16Array | number[];

export interface Column {
  name: string;
  limits: [number, number];
  /** Names of the places of a category; none of a number. */
  labels: string[];
  log: boolean;
  /** Whether its numbers are days since 1970. */
  time: boolean;
  real: Places;
  /** The rows of all moments, one moment after the other. */
  states: Places;
}

interface Moments {
  n: number;
  /** Of how many sampling steps each moment is the result. */
  steps: number[];
  levels: Level[];
  /** How it was sampled. */
  how: { sampler: string; steps: number; seed: number; guidance: number; condition: Record<string, string> };
  seconds?: number;
}

export interface ColumnsWalk extends Moments {
  look: "columns";
  first: [number, number];
  columns: Column[];
  /** How strongly columns depend on each other: in real rows and in the samples. */
  associations: [number[][], number[][]] | null;
}

export interface SheetsWalk extends Moments {
  look: "sheets";
  /** Images side by side. */
  columns: number;
  titles: string[];
  size: [number, number];
  gap: number;
  /** The address of a picture for each moment. */
  states: string[];
  real: string | null;
}

export type WatchedWalk = ColumnsWalk | SheetsWalk;

export interface WalkAsk {
  n: number;
  seed: number;
  sampler: string;
  steps: number;
  condition: Record<string, string>;
  guidance: number | null;
  estimates: boolean;
}

/** What a page knows of a run; one of a file has a walk, too. */
export interface RunPayload {
  look: "run" | "walk";
  title: string;
  recipe_name: string;
  unit: "points" | "rows" | "images";
  language: "en" | "zh";
  quality: { ratio: number; low: number; high: number } | null;
  loss: { step: number[]; value: number[] };
  choices: Choice[];
  guidance: number | null;
  samplers: string[];
  sampler: string;
  steps: number;
  most_steps: number;
  estimates: boolean;
  weights: number;
  walk?: PackedWalk;
}

type PackedColumn = Omit<Column, "real" | "states"> & { real: Packed | []; states: Packed };

/** As it lies in a file: places are packed. */
export type PackedWalk = SheetsWalk | (Omit<ColumnsWalk, "columns"> & { columns: PackedColumn[] });

/** Where walks come from. */
export interface Walks {
  walk(ask: WalkAsk): Promise<WatchedWalk>;
  /** End the walk that is being made. */
  stop(): void;
  /** The page as one file. */
  save(language: string): Promise<string>;
  /** How far a walk is, from 0 to 1. */
  onWork: (part: number) => void;
}
