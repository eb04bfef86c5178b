// What does a network answer, and what is the gradient of its weights? The two networks of points:
// ResMLP, of the recipe `fast`, and the tutorial's. Matrices lie with a row for each input.

import type { Memory } from "./memory.js";
import type { Random } from "./random.js";

/** Named arrays, as a saved model has them. */
export type Tensors = Record<string, { shape: number[]; values: Float32Array }>;

export interface NetworkSettings {
  name: string;
  width?: number;
  depth?: number;
  n_directions?: number;
  direction_std?: number;
  n_frequencies?: number;
  n_steps?: number;
  classes?: number;
}

/** A network of points (n, 2): inputs and outputs have rows of 2 and of 4 numbers, of which 2 count. */
export interface Network {
  /** Numbers in its vector of weights, a multiple of 4. */
  readonly size: number;
  /** Whether its condition is the step of the schedule; otherwise it is log(α²/σ²). */
  readonly byStep: boolean;
  /** A vector of new weights. */
  fresh(random: Random): Float32Array;
  /** The vector of the weights of a saved model, or of a page that was saved: then it lies there as it is. */
  read(tensors: Tensors): Float32Array;
  /** What is drawn once and not trained. */
  fixed(): Tensors;
  /** Return where the outputs (n, 4) are; the condition has one number, or n, and so have the classes. Takes room. */
  forward(weights: number, x: number, condition: ArrayLike<number>, n: number, labels?: ArrayLike<number> | null): number;
  /** Write the gradient of all weights, from that of the last outputs (n, 4) of `forward`. */
  backward(weights: number, gradient: number, out: number, n: number): void;
}

const up = (n: number): number => Math.ceil(n / 4) * 4;

/** The rows and columns of a matrix, or the length of a bias, in a vector of weights. */
interface Part {
  at: number;
  rows: number;
  columns: number;
}

/** Lays matrices one after the other. */
class Layout {
  size = 0;

  part(rows: number, columns: number): Part {
    const at = this.size;
    this.size += rows * columns;
    return { at, rows, columns };
  }
}

/** Where a torch layer (outputs, inputs) goes: input i to row `row(i)`. */
function place(
  vector: Float32Array,
  part: Part,
  weight: { shape: number[]; values: Float32Array },
  row: (i: number) => number = (i) => i,
): void {
  const [outputs, inputs] = [weight.shape[0]!, weight.shape[1]!];
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      vector[part.at + row(i) * part.columns + o] = weight.values[o * inputs + i]!;
    }
  }
}

function tensor(tensors: Tensors, name: string): { shape: number[]; values: Float32Array } {
  const found = tensors[name];
  if (!found) throw new Error(`The model has no weights ${name}.`);
  return found;
}

/** Draw a torch layer: uniform within ±1/√inputs. */
function drawLayer(vector: Float32Array, matrix: Part, bias: Part, rows: number[], outputs: number, random: Random): void {
  const bound = 1 / Math.sqrt(rows.length);
  const draw = (): number => (2 * random.uniform() - 1) * bound;
  for (const row of rows) for (let o = 0; o < outputs; o++) vector[matrix.at + row * matrix.columns + o] = draw();
  for (let o = 0; o < outputs; o++) vector[bias.at + o] = draw();
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** The residual MLP of points: see diffuscope/networks/resmlp.py for its formula. */
export class ResMLP implements Network {
  readonly byStep = false;
  readonly size: number;
  private readonly w: number;
  private readonly depth: number;
  private readonly m: number;
  private readonly f: number;
  private readonly directionStd: number;
  private readonly input: Part;
  private readonly inputBias: Part;
  private readonly condition: Part;
  private readonly conditionBias: Part;
  /** Rows for each class, and for none of them. */
  private readonly label: Part;
  private readonly classes: number;
  private readonly layers: { matrix: Part; bias: Part }[] = [];
  private readonly output: Part;
  private readonly outputBias: Part;
  /** Angular frequencies, which are not trained: of the point (2, m) and of the level (1, f). */
  private directions: number;
  private frequencies: number;
  private kept = { x: 0, u: 0, features: 0, ab: 0, h: [] as number[], act: [] as number[], gate: [] as number[], labels: null as ArrayLike<number> | null };

  constructor(
    private readonly memory: Memory,
    settings: NetworkSettings,
  ) {
    this.w = settings.width ?? 64;
    this.depth = settings.depth ?? 3;
    this.m = settings.n_directions ?? 16;
    this.f = settings.n_frequencies ?? 16;
    this.directionStd = settings.direction_std ?? 1;
    if (this.w % 4 || this.m % 4 || this.f % 4) throw new Error("Widths must be multiples of 4 here.");
    const layout = new Layout();
    this.input = layout.part(4 + 2 * this.m, this.w);
    this.inputBias = layout.part(1, this.w);
    this.condition = layout.part(2 * this.f, 2 * this.w);
    this.conditionBias = layout.part(1, 2 * this.w);
    for (let i = 0; i < this.depth; i++) {
      this.layers.push({ matrix: layout.part(this.w, this.w), bias: layout.part(1, this.w) });
    }
    this.output = layout.part(this.w, 4);
    this.outputBias = layout.part(1, 4);
    this.classes = settings.classes ?? 0;
    this.label = layout.part(this.classes ? this.classes + 1 : 0, 2 * this.w);
    this.size = layout.size;
    this.directions = memory.take(2 * this.m);
    this.frequencies = memory.take(this.f);
  }

  private inputRow = (i: number): number => (i < 2 ? i : i + 2);

  fresh(random: Random): Float32Array {
    const vector = new Float32Array(this.size);
    const inputs = range(2 + 2 * this.m).map(this.inputRow);
    drawLayer(vector, this.input, this.inputBias, inputs, this.w, random);
    drawLayer(vector, this.condition, this.conditionBias, range(2 * this.f), 2 * this.w, random);
    for (const { matrix, bias } of this.layers) drawLayer(vector, matrix, bias, range(this.w), this.w, random);
    this.memory.view(this.directions, 2 * this.m).set(random.normals(2 * this.m, this.directionStd));
    this.memory.view(this.frequencies, this.f).set(random.normals(this.f, Math.PI));
    return vector; // the output is zero at the start
  }

  fixed(): Tensors {
    const { memory, m, f } = this;
    const kept = (at: number, n: number): Tensors[string] => ({ shape: [n], values: memory.view(at, n).slice() });
    return { directions: kept(this.directions, 2 * m), angles: kept(this.frequencies, f) };
  }

  read(tensors: Tensors): Float32Array {
    if (tensors["vector"]) {
      this.memory.view(this.directions, 2 * this.m).set(tensors["directions"]!.values);
      this.memory.view(this.frequencies, this.f).set(tensors["angles"]!.values);
      return tensors["vector"].values;
    }
    const vector = new Float32Array(this.size);
    place(vector, this.input, tensor(tensors, "input.weight"), this.inputRow);
    vector.set(tensor(tensors, "input.bias").values, this.inputBias.at);
    place(vector, this.condition, tensor(tensors, "condition.weight"));
    vector.set(tensor(tensors, "condition.bias").values, this.conditionBias.at);
    this.layers.forEach(({ matrix, bias }, i) => {
      place(vector, matrix, tensor(tensors, `layers.${i}.weight`));
      vector.set(tensor(tensors, `layers.${i}.bias`).values, bias.at);
    });
    place(vector, this.output, tensor(tensors, "output.weight"));
    vector.set(tensor(tensors, "output.bias").values, this.outputBias.at);
    if (this.classes) vector.set(tensor(tensors, "label.weight").values, this.label.at);
    const angular = (value: number): number => value * 2 * Math.PI;
    const directions = tensor(tensors, "directions.frequencies").values;
    this.memory.view(this.directions, 2 * this.m).set(directions.map(angular));
    const frequencies = tensor(tensors, "frequencies.frequencies").values;
    this.memory.view(this.frequencies, this.f).set(frequencies.map(angular));
    return vector;
  }

  forward(weights: number, x: number, condition: ArrayLike<number>, n: number, labels: ArrayLike<number> | null = null): number {
    const { memory, w, m, f } = this;
    const { kernels } = memory;
    const at = (part: Part): number => weights + 4 * part.at;
    const shared = condition.length === 1 && n !== 1;
    const conditions = shared ? 1 : n;
    const stride = 4 + 2 * m;
    const inputs = memory.take(n * stride);
    const c = memory.take(conditions);
    const features = memory.take(conditions * 2 * f);
    const ab = memory.take(conditions * 2 * w);
    const u = memory.take(n * w);
    const h = range(this.depth + 1).map(() => memory.take(n * w));
    const act = h.map(() => memory.take(n * w));
    const gate = h.map(() => memory.take(n * w));
    const out = memory.take(n * 4);

    const levels = memory.view(c, conditions);
    for (let i = 0; i < conditions; i++) levels[i] = condition[i]! / -8; // log(σ/α)/4
    kernels.fourier(features, 2 * f, c, 1, this.frequencies, conditions, 1, f);
    kernels.matmul(ab, features, at(this.condition), at(this.conditionBias), conditions, 2 * f, 2 * w, 0);
    const own = this.classes ? (labels ?? [this.classes]) : null;
    if (own) {
      const [rows, table] = [memory.view(ab, conditions * 2 * w), memory.view(at(this.label), this.label.rows * 2 * w)];
      for (let i = 0; i < conditions; i++) {
        const from = 2 * w * own[own.length === 1 ? 0 : i]!;
        for (let j = 0; j < 2 * w; j++) rows[2 * w * i + j]! += table[from + j]!;
      }
    }
    const [from, to] = [memory.view(x, 2 * n), memory.view(inputs, n * stride)];
    for (let i = 0; i < n; i++) {
      to[i * stride] = from[2 * i]!;
      to[i * stride + 1] = from[2 * i + 1]!;
    }
    if (m) kernels.fourier(inputs + 16, stride, x, 2, this.directions, n, 2, m);
    kernels.matmul(u, inputs, at(this.input), at(this.inputBias), n, stride, w, 0);
    kernels.modulate(h[0]!, u, ab, n, w, shared ? 1 : 0);
    this.layers.forEach(({ matrix, bias }, i) => {
      kernels.silu(act[i]!, gate[i]!, h[i]!, n * w);
      kernels.matmul(h[i + 1]!, act[i]!, at(matrix), at(bias), n, w, w, 0);
      const [next, before] = [memory.view(h[i + 1]!, n * w), memory.view(h[i]!, n * w)];
      for (let j = 0; j < next.length; j++) next[j]! += before[j]!;
    });
    const last = this.depth;
    kernels.silu(act[last]!, gate[last]!, h[last]!, n * w);
    kernels.matmul(out, act[last]!, at(this.output), at(this.outputBias), n, w, 4, 0);
    this.kept = { x: inputs, u, features, ab, h, act, gate, labels: own };
    return out;
  }

  backward(weights: number, gradient: number, out: number, n: number): void {
    const { memory, w, m, f, kept } = this;
    const { kernels } = memory;
    const to = (part: Part): number => gradient + 4 * part.at;
    const back = (g: number, part: Part, into: number): void => {
      const turned = memory.take(part.rows * part.columns);
      kernels.transpose(turned, weights + 4 * part.at, part.rows, part.columns);
      kernels.matmul(into, g, turned, 0, n, part.columns, part.rows, 0);
    };
    const last = this.depth;
    kernels.matmulT(to(this.output), kept.act[last]!, out, n, w, 4);
    kernels.columnSums(to(this.outputBias), out, n, 4);
    const through = memory.take(n * w);
    back(out, this.output, through);
    const g = memory.take(n * w); // of h_i, which reaches the loss directly and through the layers above
    kernels.siluBack(g, through, kept.h[last]!, kept.gate[last]!, n * w);
    for (let i = last - 1; i >= 0; i--) {
      const { matrix, bias } = this.layers[i]!;
      kernels.matmulT(to(matrix), kept.act[i]!, g, n, w, w);
      kernels.columnSums(to(bias), g, n, w);
      back(g, matrix, through);
      kernels.siluBack(g, through, kept.h[i]!, kept.gate[i]!, n * w);
    }
    const du = memory.take(n * w);
    const dab = memory.take(n * 2 * w);
    kernels.modulateBack(du, dab, g, kept.u, kept.ab, n, w);
    kernels.matmulT(to(this.input), kept.x, du, n, 4 + 2 * m, w);
    kernels.columnSums(to(this.inputBias), du, n, w);
    kernels.matmulT(to(this.condition), kept.features, dab, n, 2 * f, 2 * w);
    kernels.columnSums(to(this.conditionBias), dab, n, 2 * w);
    const { labels } = kept;
    if (labels) {
      const [rows, table] = [memory.view(dab, n * 2 * w), memory.view(to(this.label), this.label.rows * 2 * w).fill(0)];
      for (let i = 0; i < n; i++) {
        const at = 2 * w * labels[labels.length === 1 ? 0 : i]!;
        for (let j = 0; j < 2 * w; j++) table[at + j]! += rows[2 * w * i + j]!;
      }
    }
  }
}

/** The tutorial's network: see diffuscope/networks/article_mlp.py for its formula. */
export class ArticleMLP implements Network {
  readonly byStep = true;
  readonly size: number;
  private readonly w: number;
  private readonly steps: number;
  private readonly matrices: { matrix: Part; bias: Part; table: Part }[] = [];
  private readonly output: Part;
  private readonly outputBias: Part;
  private kept = { inputs: [] as number[], t: [] as number[] };

  constructor(
    private readonly memory: Memory,
    settings: NetworkSettings,
  ) {
    this.w = settings.width ?? 128;
    this.steps = settings.n_steps ?? 100;
    if (this.w % 4) throw new Error("Widths must be multiples of 4 here.");
    const layout = new Layout();
    for (const inputs of [4, this.w, this.w]) {
      const matrix = layout.part(inputs, this.w);
      const bias = layout.part(1, this.w);
      this.matrices.push({ matrix, bias, table: layout.part(this.steps, this.w) });
    }
    this.output = layout.part(this.w, 4);
    this.outputBias = layout.part(1, 4);
    this.size = layout.size;
  }

  fresh(random: Random): Float32Array {
    const vector = new Float32Array(this.size);
    this.matrices.forEach(({ matrix, bias, table }, i) => {
      drawLayer(vector, matrix, bias, range(i ? this.w : 2), this.w, random);
      vector.set(random.normals(this.steps * this.w), table.at);
    });
    drawLayer(vector, this.output, this.outputBias, range(this.w), 2, random);
    return vector;
  }

  fixed(): Tensors {
    return {};
  }

  read(tensors: Tensors): Float32Array {
    if (tensors["vector"]) return tensors["vector"].values;
    const vector = new Float32Array(this.size);
    this.matrices.forEach(({ matrix, bias, table }, i) => {
      place(vector, matrix, tensor(tensors, `linears.${2 * i}.weight`));
      vector.set(tensor(tensors, `linears.${2 * i}.bias`).values, bias.at);
      vector.set(tensor(tensors, `step_embeddings.${i}.weight`).values, table.at);
    });
    place(vector, this.output, tensor(tensors, "linears.6.weight"));
    vector.set(tensor(tensors, "linears.6.bias").values, this.outputBias.at);
    return vector;
  }

  forward(weights: number, x: number, condition: ArrayLike<number>, n: number): number {
    const { memory, w } = this;
    const { kernels } = memory;
    const t = range(n).map((i) => condition[condition.length === 1 ? 0 : i]!);
    const first = memory.take(n * 4);
    const hidden = range(3).map(() => memory.take(n * w));
    const out = memory.take(n * 4);
    const [from, to] = [memory.view(x, 2 * n), memory.view(first, 4 * n)];
    for (let i = 0; i < n; i++) {
      to[4 * i] = from[2 * i]!;
      to[4 * i + 1] = from[2 * i + 1]!;
    }
    const inputs = [first, ...hidden];
    this.matrices.forEach(({ matrix, bias, table }, i) => {
      const into = memory.view(inputs[i + 1]!, n * w);
      const [own, rows] = [memory.view(weights + 4 * bias.at, w), memory.view(weights + 4 * table.at, this.steps * w)];
      for (let r = 0; r < n; r++) {
        for (let j = 0, q = t[r]! * w, p = r * w; j < w; j++) into[p + j] = own[j]! + rows[q + j]!;
      }
      kernels.matmul(inputs[i + 1]!, inputs[i]!, weights + 4 * matrix.at, 0, n, matrix.rows, w, 1);
      kernels.relu(inputs[i + 1]!, n * w);
    });
    kernels.matmul(out, inputs[3]!, weights + 4 * this.output.at, weights + 4 * this.outputBias.at, n, w, 4, 0);
    this.kept = { inputs, t };
    return out;
  }

  backward(weights: number, gradient: number, out: number, n: number): void {
    const { memory, w } = this;
    const { kernels } = memory;
    const { inputs, t } = this.kept;
    kernels.matmulT(gradient + 4 * this.output.at, inputs[3]!, out, n, w, 4);
    kernels.columnSums(gradient + 4 * this.outputBias.at, out, n, 4);
    let [g, next] = [memory.take(n * w), memory.take(n * w)];
    const turned = memory.take(up(w) * w);
    kernels.transpose(turned, weights + 4 * this.output.at, w, 4);
    kernels.matmul(g, out, turned, 0, n, 4, w, 0);
    for (let i = 2; i >= 0; i--) {
      const { matrix, bias, table } = this.matrices[i]!;
      kernels.reluBack(g, inputs[i + 1]!, n * w);
      kernels.matmulT(gradient + 4 * matrix.at, inputs[i]!, g, n, matrix.rows, w);
      kernels.columnSums(gradient + 4 * bias.at, g, n, w);
      const rows = memory.view(gradient + 4 * table.at, this.steps * w);
      const own = memory.view(g, n * w);
      rows.fill(0);
      for (let r = 0; r < n; r++) for (let j = 0; j < w; j++) rows[t[r]! * w + j]! += own[r * w + j]!;
      if (i) {
        kernels.transpose(turned, weights + 4 * matrix.at, w, w);
        kernels.matmul(next, g, turned, 0, n, w, w, 0);
        [g, next] = [next, g];
      }
    }
  }
}

/** Make a network by its settings in a recipe; an unknown name is an Error. */
export function makeNetwork(memory: Memory, settings: NetworkSettings): Network {
  if (settings.name === "resmlp") return new ResMLP(memory, settings);
  if (settings.name === "article_mlp") return new ArticleMLP(memory, settings);
  throw new Error(`There is no network ${settings.name} here.`);
}
