// What are the nodes and weights of Gauss and Legendre's rule on [-1, 1]?

const known = new Map<number, [Float64Array, Float64Array]>();

/** Return n nodes, ascending, with their weights: roots of the Legendre polynomial, by Newton's method. */
export function gaussLegendre(n: number): [Float64Array, Float64Array] {
  const found = known.get(n);
  if (found) return found;
  const [nodes, weights] = [new Float64Array(n), new Float64Array(n)];
  for (let i = 0; i < n; i++) {
    let x = -Math.cos((Math.PI * (i + 0.75)) / (n + 0.5));
    let slope = 1;
    for (let turn = 0; turn < 20; turn++) {
      let [before, value] = [1, x];
      for (let k = 2; k <= n; k++) [before, value] = [value, ((2 * k - 1) * x * value - (k - 1) * before) / k];
      if (n === 1) [before, value] = [1, x];
      slope = (n * (x * value - before)) / (x * x - 1);
      const step = value / slope;
      x -= step;
      if (Math.abs(step) < 1e-16) break;
    }
    nodes[i] = x;
    weights[i] = 2 / ((1 - x * x) * slope * slope);
  }
  known.set(n, [nodes, weights]);
  return [nodes, weights];
}
