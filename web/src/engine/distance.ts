// How far are samples from data, as a multiple of how far data is from data?
//   SW₂²(X, Y) = mean over directions θ of W₂²(θᵀX, θᵀY)

const DIRECTIONS = 32;

/** Sorted projections of points (n, 2) on directions at equal angles from `offset` of a step on. */
function projections(x: Float32Array, offset: number): Float32Array[] {
  const n = x.length / 2;
  return Array.from({ length: DIRECTIONS }, (_, k) => {
    const angle = (Math.PI / DIRECTIONS) * (k + offset);
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = c * x[2 * i]! + s * x[2 * i + 1]!;
    return out.sort();
  });
}

/** Sliced Wasserstein-2 distance of two clouds of equally many points (n, 2), over 32 directions. */
export function slicedWasserstein(x: Float32Array, y: Float32Array, offset = 0.5): number {
  const [a, b] = [projections(x, offset), projections(y, offset)];
  let total = 0;
  for (let k = 0; k < DIRECTIONS; k++) {
    let sum = 0;
    for (let i = 0; i < a[k]!.length; i++) sum += (a[k]![i]! - b[k]![i]!) ** 2;
    total += sum / a[k]!.length;
  }
  return Math.sqrt(total / DIRECTIONS);
}

export interface Ratio {
  ratio: number;
  low: number;
  high: number;
  value: number;
  floor: number;
}

/** 97.5% quantile of Student's t, by Cornish and Fisher's expansion: within 1% from 4 degrees on. */
function studentQuantile(degrees: number): number {
  const z = 1.959963984540054;
  const n = degrees;
  return (
    z +
    (z ** 3 + z) / (4 * n) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * n ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * n ** 3)
  );
}

function meanAndHalf(values: number[]): [number, number] {
  const n = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / Math.max(1, n - 1);
  return [mean, n > 1 ? studentQuantile(n - 1) * Math.sqrt(variance / n) : Infinity];
}

/** The mean of distances over that of the floor's, with its 95% interval; differences of distances may be below 0. */
export function relate(values: number[], floors: number[], least = 0): Ratio {
  const [value, spread] = meanAndHalf(values);
  const [floor, error] = meanAndHalf(floors);
  const ratio = value / floor;
  const half = Math.hypot(spread / floor, (ratio * error) / floor);
  return { ratio, low: Math.max(least, ratio - half), high: ratio + half, value, floor };
}
