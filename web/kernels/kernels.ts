// The inner loops of the local engine, four numbers at a time. All pointers are byte offsets into one memory;
// matrices are row by row, and every width that is a number of columns is a multiple of 4.

@inline const LN2_HIGH: f32 = 0.693145751953125;
@inline const LN2_LOW: f32 = 1.428606765330187e-06;

// exp(x), to 2 units in the last place; 0 below -87.
@inline function exp4(x: v128): v128 {
  const low = f32x4.splat(-87.0);
  const kept = f32x4.ge(x, low);
  x = f32x4.min(f32x4.max(x, low), f32x4.splat(88.0));
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(1.44269504)));
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(LN2_HIGH)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(LN2_LOW)));
  let p = f32x4.splat(1.9875691500e-4);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1));
  p = f32x4.add(f32x4.mul(f32x4.mul(p, r), r), f32x4.add(r, f32x4.splat(1.0)));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return v128.and(f32x4.mul(p, power), kept);
}

@inline function sum4(x: v128): f32 {
  return (
    f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
  );
}

@inline function max4(x: v128): f32 {
  return max(
    max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)),
    max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)),
  );
}

// C (n, m) = A (n, k) B (k, m) + bias (m), or + C where `add`; no bias where its pointer is 0.
export function matmul(c: usize, a: usize, b: usize, bias: usize, n: i32, k: i32, m: i32, add: bool): void {
  const row = <usize>m << 2;
  const row2 = row << 1;
  const row3 = row + row2;
  const across = <usize>k << 2;
  const across2 = across << 1;
  const across3 = across + across2;
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    for (let j: usize = 0; j < row; j += 16) {
      const start = bias ? v128.load(bias + j) : f32x4.splat(0);
      const at = c + <usize>i * row + j;
      let c0 = add ? v128.load(at) : start;
      let c1 = add ? v128.load(at + row) : start;
      let c2 = add ? v128.load(at + row2) : start;
      let c3 = add ? v128.load(at + row3) : start;
      let left = a + <usize>i * across;
      let right = b + j;
      for (let p = 0; p < k; p++) {
        const v = v128.load(right);
        c0 = f32x4.add(c0, f32x4.mul(v128.load32_splat(left), v));
        c1 = f32x4.add(c1, f32x4.mul(v128.load32_splat(left + across), v));
        c2 = f32x4.add(c2, f32x4.mul(v128.load32_splat(left + across2), v));
        c3 = f32x4.add(c3, f32x4.mul(v128.load32_splat(left + across3), v));
        left += 4;
        right += row;
      }
      v128.store(at, c0);
      v128.store(at + row, c1);
      v128.store(at + row2, c2);
      v128.store(at + row3, c3);
    }
  }
  for (; i < n; i++) {
    for (let j: usize = 0; j < row; j += 16) {
      const at = c + <usize>i * row + j;
      let c0 = add ? v128.load(at) : bias ? v128.load(bias + j) : f32x4.splat(0);
      let left = a + <usize>i * across;
      let right = b + j;
      for (let p = 0; p < k; p++) {
        c0 = f32x4.add(c0, f32x4.mul(v128.load32_splat(left), v128.load(right)));
        left += 4;
        right += row;
      }
      v128.store(at, c0);
    }
  }
}

// C (k, m) = Aᵀ B for A (n, k), B (n, m): the gradient of a layer's weights.
export function matmulT(c: usize, a: usize, b: usize, n: i32, k: i32, m: i32): void {
  const row = <usize>m << 2;
  const row2 = row << 1;
  const row3 = row + row2;
  const across = <usize>k << 2;
  for (let p: usize = 0; p < across; p += 16) {
    for (let j: usize = 0; j < row; j += 16) {
      let c0 = f32x4.splat(0);
      let c1 = c0;
      let c2 = c0;
      let c3 = c0;
      let left = a + p;
      let right = b + j;
      for (let i = 0; i < n; i++) {
        const v = v128.load(right);
        c0 = f32x4.add(c0, f32x4.mul(v128.load32_splat(left), v));
        c1 = f32x4.add(c1, f32x4.mul(v128.load32_splat(left + 4), v));
        c2 = f32x4.add(c2, f32x4.mul(v128.load32_splat(left + 8), v));
        c3 = f32x4.add(c3, f32x4.mul(v128.load32_splat(left + 12), v));
        left += across;
        right += row;
      }
      const at = c + (p >> 2) * row + j;
      v128.store(at, c0);
      v128.store(at + row, c1);
      v128.store(at + row2, c2);
      v128.store(at + row3, c3);
    }
  }
}

// B (m, k) = Aᵀ for A (k, m).
export function transpose(b: usize, a: usize, k: i32, m: i32): void {
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < m; j++) {
      store<f32>(b + (<usize>(j * k + i) << 2), load<f32>(a + (<usize>(i * m + j) << 2)));
    }
  }
}

// out (m) = column sums of A (n, m).
export function columnSums(out: usize, a: usize, n: i32, m: i32): void {
  const row = <usize>m << 2;
  for (let j: usize = 0; j < row; j += 16) {
    let total = f32x4.splat(0);
    let at = a + j;
    for (let i = 0; i < n; i++) {
      total = f32x4.add(total, v128.load(at));
      at += row;
    }
    v128.store(out + j, total);
  }
}

// out = x s(x), with the sigmoid s(x) kept for the way back; n is a multiple of 4.
export function silu(out: usize, gate: usize, x: usize, n: i32): void {
  const end = <usize>n << 2;
  const one = f32x4.splat(1);
  for (let i: usize = 0; i < end; i += 16) {
    const v = v128.load(x + i);
    const s = f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(v))));
    v128.store(gate + i, s);
    v128.store(out + i, f32x4.mul(v, s));
  }
}

// out += g d(x s(x))/dx.
export function siluBack(out: usize, g: usize, x: usize, gate: usize, n: i32): void {
  const end = <usize>n << 2;
  const one = f32x4.splat(1);
  for (let i: usize = 0; i < end; i += 16) {
    const s = v128.load(gate + i);
    const slope = f32x4.mul(s, f32x4.add(one, f32x4.mul(v128.load(x + i), f32x4.sub(one, s))));
    v128.store(out + i, f32x4.add(v128.load(out + i), f32x4.mul(v128.load(g + i), slope)));
  }
}

export function relu(x: usize, n: i32): void {
  const end = <usize>n << 2;
  for (let i: usize = 0; i < end; i += 16) {
    v128.store(x + i, f32x4.max(v128.load(x + i), f32x4.splat(0)));
  }
}

// g = 0 where the unit h was 0.
export function reluBack(g: usize, h: usize, n: i32): void {
  const end = <usize>n << 2;
  for (let i: usize = 0; i < end; i += 16) {
    v128.store(g + i, v128.and(v128.load(g + i), f32x4.gt(v128.load(h + i), f32x4.splat(0))));
  }
}

// out (n, w) = (1 + a) u + b, with [a, b] (n, 2w), or (1, 2w) where `shared`.
export function modulate(out: usize, u: usize, ab: usize, n: i32, w: i32, shared: bool): void {
  const row = <usize>w << 2;
  const one = f32x4.splat(1);
  for (let i = 0; i < n; i++) {
    const own = shared ? ab : ab + (row << 1) * <usize>i;
    const at = row * <usize>i;
    for (let j: usize = 0; j < row; j += 16) {
      const scale = f32x4.add(one, v128.load(own + j));
      v128.store(out + at + j, f32x4.add(f32x4.mul(scale, v128.load(u + at + j)), v128.load(own + row + j)));
    }
  }
}

// du = g (1 + a), da = g u, db = g.
export function modulateBack(du: usize, dab: usize, g: usize, u: usize, ab: usize, n: i32, w: i32): void {
  const row = <usize>w << 2;
  const one = f32x4.splat(1);
  for (let i = 0; i < n; i++) {
    const own = (row << 1) * <usize>i;
    const at = row * <usize>i;
    for (let j: usize = 0; j < row; j += 16) {
      const v = v128.load(g + at + j);
      v128.store(du + at + j, f32x4.mul(v, f32x4.add(one, v128.load(ab + own + j))));
      v128.store(dab + own + j, f32x4.mul(v, v128.load(u + at + j)));
      v128.store(dab + own + row + j, v);
    }
  }
}

@inline function sine4(x: v128, turn: i32): v128 {
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(0.636619772)));
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(1.5703125)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(4.837512969970703e-4)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(7.54978995489188e-8)));
  const q = i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(turn));
  const z = f32x4.mul(r, r);
  let s = f32x4.splat(-1.9515295891e-4);
  s = f32x4.add(f32x4.mul(s, z), f32x4.splat(8.3321608736e-3));
  s = f32x4.add(f32x4.mul(s, z), f32x4.splat(-1.6666654611e-1));
  s = f32x4.add(r, f32x4.mul(f32x4.mul(s, z), r));
  let c = f32x4.splat(2.443315711809948e-5);
  c = f32x4.add(f32x4.mul(c, z), f32x4.splat(-1.388731625493765e-3));
  c = f32x4.add(f32x4.mul(c, z), f32x4.splat(4.166664568298827e-2));
  c = f32x4.add(f32x4.mul(f32x4.mul(c, z), z), f32x4.sub(f32x4.splat(1), f32x4.mul(z, f32x4.splat(0.5))));
  const odd = i32x4.eq(v128.and(q, i32x4.splat(1)), i32x4.splat(1));
  const sign = i32x4.shl(v128.and(q, i32x4.splat(2)), 30);
  return v128.xor(v128.bitselect(c, s, odd), sign);
}

// out[i, 0:m] = cos φ, out[i, m:2m] = sin φ, φ = x[i] F, for x (n, d) and F (d, m); strides in numbers.
export function fourier(
  out: usize, stride: i32, x: usize, xStride: i32, f: usize, n: i32, d: i32, m: i32,
): void {
  const row = <usize>m << 2;
  for (let i = 0; i < n; i++) {
    const at = out + (<usize>(i * stride) << 2);
    const from = x + (<usize>(i * xStride) << 2);
    for (let j: usize = 0; j < row; j += 16) {
      let phase = f32x4.splat(0);
      for (let p = 0; p < d; p++) {
        const coordinate = v128.load32_splat(from + (<usize>p << 2));
        phase = f32x4.add(phase, f32x4.mul(coordinate, v128.load(f + row * <usize>p + j)));
      }
      v128.store(at + j, sine4(phase, 1));
      v128.store(at + row + j, sine4(phase, 0));
    }
  }
}

// The posterior over k components at points x (n, 2) with signal α (n) and variances v (n, 2):
// out (n, 2) is the mean of the components' centres; mass (n, 2) is [a, b] with a + log b the logarithm of
// Σ w exp(-|x - α m|²/(2 v)).
export function posterior(
  out: usize, mass: usize, x: usize, alpha: usize, v: usize,
  mx: usize, my: usize, logw: usize, scratch: usize, n: i32, k: i32,
): void {
  const end = <usize>k << 2;
  for (let i = 0; i < n; i++) {
    const pair = <usize>i << 3;
    const px = v128.load32_splat(x + pair);
    const py = v128.load32_splat(x + pair + 4);
    const a = v128.load32_splat(alpha + (<usize>i << 2));
    const gx = f32x4.splat(<f32>-0.5 / load<f32>(v + pair));
    const gy = f32x4.splat(<f32>-0.5 / load<f32>(v + pair + 4));
    let most = f32x4.splat(-3e38);
    for (let j: usize = 0; j < end; j += 16) {
      const dx = f32x4.sub(px, f32x4.mul(a, v128.load(mx + j)));
      const dy = f32x4.sub(py, f32x4.mul(a, v128.load(my + j)));
      const square = f32x4.add(f32x4.mul(gx, f32x4.mul(dx, dx)), f32x4.mul(gy, f32x4.mul(dy, dy)));
      const logit = f32x4.add(v128.load(logw + j), square);
      v128.store(scratch + j, logit);
      most = f32x4.max(most, logit);
    }
    const top = max4(most);
    const shift = f32x4.splat(top);
    let total = f32x4.splat(0);
    let sx = total;
    let sy = total;
    for (let j: usize = 0; j < end; j += 16) {
      const w = exp4(f32x4.sub(v128.load(scratch + j), shift));
      total = f32x4.add(total, w);
      sx = f32x4.add(sx, f32x4.mul(w, v128.load(mx + j)));
      sy = f32x4.add(sy, f32x4.mul(w, v128.load(my + j)));
    }
    const sum = sum4(total);
    store<f32>(out + pair, sum4(sx) / sum);
    store<f32>(out + pair + 4, sum4(sy) / sum);
    store<f32>(mass + pair, top);
    store<f32>(mass + pair + 4, sum);
  }
}

export function squares(g: usize, n: i32): f32 {
  const end = <usize>n << 2;
  let total = f32x4.splat(0);
  for (let i: usize = 0; i < end; i += 16) {
    const v = v128.load(g + i);
    total = f32x4.add(total, f32x4.mul(v, v));
  }
  return sum4(total);
}

// One step of Adam on weights w with gradients `clip` g, then their moving average; n is a multiple of 4.
export function adam(
  w: usize, g: usize, first: usize, second: usize, average: usize, n: i32,
  clip: f32, rate: f32, beta1: f32, beta2: f32, root: f32, decay: f32,
): void {
  const end = <usize>n << 2;
  const b1 = f32x4.splat(1 - beta1);
  const b2 = f32x4.splat(1 - beta2);
  for (let i: usize = 0; i < end; i += 16) {
    const d = f32x4.mul(v128.load(g + i), f32x4.splat(clip));
    let m = v128.load(first + i);
    m = f32x4.add(m, f32x4.mul(b1, f32x4.sub(d, m)));
    let v = v128.load(second + i);
    v = f32x4.add(v, f32x4.mul(b2, f32x4.sub(f32x4.mul(d, d), v)));
    v128.store(first + i, m);
    v128.store(second + i, v);
    const under = f32x4.add(f32x4.div(f32x4.sqrt(v), f32x4.splat(root)), f32x4.splat(1e-8));
    const now = f32x4.sub(v128.load(w + i), f32x4.div(f32x4.mul(f32x4.splat(rate), m), under));
    v128.store(w + i, now);
    const kept = v128.load(average + i);
    v128.store(average + i, f32x4.add(kept, f32x4.mul(f32x4.splat(1 - decay), f32x4.sub(now, kept))));
  }
}
