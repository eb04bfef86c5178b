// Where do the numbers lie? In one memory, which the kernels see: in WebAssembly, or in plain arrays.

import { plainKernels } from "./plain.js";

type Flag = boolean | number;

/** The inner loops; pointers are byte offsets, see kernels/kernels.ts for shapes. */
export interface Kernels {
  matmul(c: number, a: number, b: number, bias: number, n: number, k: number, m: number, add: Flag): void;
  matmulT(c: number, a: number, b: number, n: number, k: number, m: number): void;
  transpose(b: number, a: number, k: number, m: number): void;
  columnSums(out: number, a: number, n: number, m: number): void;
  silu(out: number, gate: number, x: number, n: number): void;
  siluBack(out: number, g: number, x: number, gate: number, n: number): void;
  relu(x: number, n: number): void;
  reluBack(g: number, h: number, n: number): void;
  modulate(out: number, u: number, ab: number, n: number, w: number, shared: Flag): void;
  modulateBack(du: number, dab: number, g: number, u: number, ab: number, n: number, w: number): void;
  fourier(
    out: number, stride: number, x: number, xStride: number, f: number, n: number, d: number, m: number,
  ): void;
  posterior(
    out: number, mass: number, x: number, alpha: number, v: number,
    mx: number, my: number, logw: number, scratch: number, n: number, k: number,
  ): void;
  squares(g: number, n: number): number;
  adam(
    w: number, g: number, first: number, second: number, average: number, n: number,
    clip: number, rate: number, beta1: number, beta2: number, root: number, decay: number,
  ): void;
}

/** The bytes of a text in base64. */
export const bytesOf = (base64: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

const FIRST = 4096;
const PAGE = 65536;

/** One growing memory with the kernels that work on it. */
export class Memory {
  private end = FIRST;
  private plain = new ArrayBuffer(16 * PAGE);

  private constructor(
    readonly kernels: Kernels,
    private readonly wasm: WebAssembly.Memory | null,
  ) {}

  /** Compile the kernels; where SIMD is missing, or `binary` is null, use plain ones. */
  static make(binary: Uint8Array | null): Memory {
    if (binary && WebAssembly.validate(binary as BufferSource)) {
      try {
        const module = new WebAssembly.Module(binary as BufferSource);
        const { exports } = new WebAssembly.Instance(module, {});
        return new Memory(exports as unknown as Kernels, exports["memory"] as WebAssembly.Memory);
      } catch {
        // a page whose policy forbids WebAssembly
      }
    }
    const slot: { memory: Memory | null } = { memory: null };
    const memory = new Memory(plainKernels((at, n) => slot.memory!.view(at, n)), null);
    slot.memory = memory;
    return memory;
  }

  /** Whether the kernels are WebAssembly. */
  get fast(): boolean {
    return this.wasm !== null;
  }

  private get buffer(): ArrayBuffer {
    return this.wasm ? (this.wasm.buffer as ArrayBuffer) : this.plain;
  }

  /** Take room for n numbers, all 0; return its pointer. */
  take(n: number): number {
    const at = this.end;
    this.end += Math.ceil(n / 4) * 16;
    const missing = this.end - this.buffer.byteLength;
    if (missing > 0) {
      if (this.wasm) {
        this.wasm.grow(Math.ceil(missing / PAGE) + 16);
      } else {
        const larger = new ArrayBuffer(Math.ceil(this.end * 1.5));
        new Uint8Array(larger).set(new Uint8Array(this.plain));
        this.plain = larger;
      }
    }
    this.view(at, n).fill(0);
    return at;
  }

  /** Run a piece of work; give back all room that it took. */
  scratch<T>(work: () => T): T {
    const before = this.end;
    try {
      return work();
    } finally {
      this.end = before;
    }
  }

  /** Remember how much is taken, to give back what is taken later. */
  mark(): number {
    return this.end;
  }

  release(mark: number): void {
    this.end = mark;
  }

  /** The n numbers at a pointer. The view ends to be valid when more room is taken. */
  view(at: number, n: number): Float32Array {
    return new Float32Array(this.buffer, at, n);
  }

  /** Take room for numbers and copy them there. */
  put(values: ArrayLike<number>): number {
    const at = this.take(values.length);
    this.view(at, values.length).set(values);
    return at;
  }
}
