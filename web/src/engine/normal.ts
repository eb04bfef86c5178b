// What are the distribution function of the normal law, its logarithm and its inverse?

/** log Φ(x), to 1e-10 where x > -5, by a continued fraction below. */
export function logNormalCdf(x: number): number {
  if (x < -5) {
    // Φ(x) = φ(x) / (z + 1/(z + 2/(z + 3/(z + ...)))), z = -x
    const z = -x;
    let fraction = z;
    for (let k = 60; k >= 1; k--) fraction = z + k / fraction;
    return -0.5 * x * x - 0.5 * Math.log(2 * Math.PI) - Math.log(fraction);
  }
  if (x > 5) return -Math.exp(logNormalCdf(-x));
  return Math.log(normalCdf(x));
}

/** Φ(x) = 1/2 + φ(x) (x + x³/3 + x⁵/15 + ...), for |x| up to 5 or so. */
function normalCdf(x: number): number {
  if (x < 0 && x > -5) {
    // the tail by its own series loses digits below -3: use the fraction there
    if (x < -3) {
      const z = -x;
      let fraction = z;
      for (let k = 200; k >= 1; k--) fraction = z + k / fraction;
      return Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI) / fraction;
    }
    return 1 - normalCdf(-x);
  }
  let term = x;
  let sum = x;
  for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum) && k < 200; k++) {
    term *= (x * x) / (2 * k + 1);
    sum += term;
  }
  return 0.5 + (sum * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);
}

/** Φ⁻¹(p) for p in (0, 1), by Newton's method on log Φ from a rough start. */
export function normalQuantile(p: number): number {
  if (p > 0.5) return -normalQuantile(1 - p);
  const t = Math.sqrt(-2 * Math.log(p));
  let x = -(t - (2.30753 + 0.27061 * t) / (1 + 0.99229 * t + 0.04481 * t * t));
  const target = Math.log(p);
  for (let i = 0; i < 4; i++) {
    const value = logNormalCdf(x);
    const slope = Math.exp(-0.5 * x * x - 0.5 * Math.log(2 * Math.PI) - value);
    x -= (value - target) / slope;
  }
  return x;
}
