// Where does randomness come from? From one seed, through named streams. Equal seeds give equal numbers.

/** A small fast generator (sfc32, by Chris Doty-Humphrey), seeded by a seed and the name of its purpose. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private count = 1;
  private spare: number | null = null;

  constructor(seed: number, purpose: string) {
    let hash = 2166136261; // FNV-1a
    for (const letter of `${Math.floor(seed)}/${purpose}`) {
      hash = Math.imul(hash ^ letter.charCodeAt(0), 16777619);
    }
    const word = (): number => {
      hash = (hash + 0x9e3779b9) | 0; // splitmix32
      let z = Math.imul(hash ^ (hash >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return z ^ (z >>> 15);
    };
    [this.a, this.b, this.c] = [word(), word(), word()];
    for (let i = 0; i < 12; i++) this.bits();
  }

  private bits(): number {
    const sum = (((this.a + this.b) | 0) + this.count) | 0;
    this.count = (this.count + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + sum;
    this.c |= 0;
    return sum >>> 0;
  }

  /** Uniform in (0, 1). */
  uniform(): number {
    return (this.bits() + 0.5) / 4294967296;
  }

  /** Uniform among 0 ... n - 1. */
  below(n: number): number {
    return Math.min(n - 1, Math.floor(this.uniform() * n));
  }

  /** Standard normal, by Box and Muller. */
  normal(): number {
    if (this.spare !== null) {
      const value = this.spare;
      this.spare = null;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  normals(n: number, std = 1): Float32Array {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = std * this.normal();
    return out;
  }

  /** A random order of 0 ... n - 1. */
  permutation(n: number): Uint32Array {
    const order = new Uint32Array(n);
    for (let i = 0; i < n; i++) order[i] = i;
    for (let i = n - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }
}
