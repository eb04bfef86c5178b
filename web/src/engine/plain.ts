// What do the kernels do where there is no WebAssembly? The same, a number at a time.

import type { Kernels } from "./memory.js";

type View = (at: number, n: number) => Float32Array;

/** The kernels of kernels/kernels.ts in plain TypeScript, over a memory of which `view` shows a part. */
export function plainKernels(view: View): Kernels {
  return {
    matmul(c, a, b, bias, n, k, m, add) {
      const [C, A, B] = [view(c, n * m), view(a, n * k), view(b, k * m)];
      const start = bias ? view(bias, m) : null;
      for (let i = 0; i < n; i++) {
        const row = C.subarray(i * m, (i + 1) * m);
        if (!add) {
          if (start) row.set(start);
          else row.fill(0);
        }
        for (let p = 0; p < k; p++) {
          const left = A[i * k + p]!;
          if (left !== 0) for (let j = 0, q = p * m; j < m; j++, q++) row[j]! += left * B[q]!;
        }
      }
    },
    matmulT(c, a, b, n, k, m) {
      const [C, A, B] = [view(c, k * m), view(a, n * k), view(b, n * m)];
      C.fill(0);
      for (let i = 0; i < n; i++) {
        for (let p = 0; p < k; p++) {
          const left = A[i * k + p]!;
          for (let j = 0; j < m; j++) C[p * m + j]! += left * B[i * m + j]!;
        }
      }
    },
    transpose(b, a, k, m) {
      const [B, A] = [view(b, k * m), view(a, k * m)];
      for (let i = 0; i < k; i++) for (let j = 0; j < m; j++) B[j * k + i] = A[i * m + j]!;
    },
    columnSums(out, a, n, m) {
      const [O, A] = [view(out, m), view(a, n * m)];
      O.fill(0);
      for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) O[j]! += A[i * m + j]!;
    },
    silu(out, gate, x, n) {
      const [O, G, X] = [view(out, n), view(gate, n), view(x, n)];
      for (let i = 0; i < n; i++) {
        G[i] = 1 / (1 + Math.exp(-X[i]!));
        O[i] = X[i]! * G[i]!;
      }
    },
    siluBack(out, g, x, gate, n) {
      const [O, D, X, G] = [view(out, n), view(g, n), view(x, n), view(gate, n)];
      for (let i = 0; i < n; i++) O[i]! += D[i]! * G[i]! * (1 + X[i]! * (1 - G[i]!));
    },
    relu(x, n) {
      const X = view(x, n);
      for (let i = 0; i < n; i++) if (X[i]! < 0) X[i] = 0;
    },
    reluBack(g, h, n) {
      const [G, H] = [view(g, n), view(h, n)];
      for (let i = 0; i < n; i++) if (!(H[i]! > 0)) G[i] = 0;
    },
    modulate(out, u, ab, n, w, shared) {
      const [O, U, AB] = [view(out, n * w), view(u, n * w), view(ab, shared ? 2 * w : 2 * n * w)];
      for (let i = 0; i < n; i++) {
        const own = shared ? 0 : 2 * w * i;
        for (let j = 0; j < w; j++) O[i * w + j] = (1 + AB[own + j]!) * U[i * w + j]! + AB[own + w + j]!;
      }
    },
    modulateBack(du, dab, g, u, ab, n, w) {
      const [DU, G, U] = [view(du, n * w), view(g, n * w), view(u, n * w)];
      const [DAB, AB] = [view(dab, 2 * n * w), view(ab, 2 * n * w)];
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < w; j++) {
          const [at, own] = [i * w + j, 2 * w * i + j];
          DU[at] = G[at]! * (1 + AB[own]!);
          DAB[own] = G[at]! * U[at]!;
          DAB[own + w] = G[at]!;
        }
      }
    },
    fourier(out, stride, x, xStride, f, n, d, m) {
      const F = view(f, d * m);
      for (let i = 0; i < n; i++) {
        const O = view(out + 4 * i * stride, 2 * m);
        const X = view(x + 4 * i * xStride, d);
        for (let j = 0; j < m; j++) {
          let phase = 0;
          for (let p = 0; p < d; p++) phase += X[p]! * F[p * m + j]!;
          O[j] = Math.cos(phase);
          O[m + j] = Math.sin(phase);
        }
      }
    },
    posterior(out, mass, x, alpha, v, mx, my, logw, scratch, n, k) {
      const [O, M, X, A, V] = [view(out, 2 * n), view(mass, 2 * n), view(x, 2 * n), view(alpha, n), view(v, 2 * n)];
      const [MX, MY, W, S] = [view(mx, k), view(my, k), view(logw, k), view(scratch, k)];
      for (let i = 0; i < n; i++) {
        const [px, py, a] = [X[2 * i]!, X[2 * i + 1]!, A[i]!];
        const [gx, gy] = [-0.5 / V[2 * i]!, -0.5 / V[2 * i + 1]!];
        let most = -Infinity;
        for (let j = 0; j < k; j++) {
          const [dx, dy] = [px - a * MX[j]!, py - a * MY[j]!];
          S[j] = W[j]! + gx * dx * dx + gy * dy * dy;
          if (S[j]! > most) most = S[j]!;
        }
        let [total, sx, sy] = [0, 0, 0];
        for (let j = 0; j < k; j++) {
          const w = Math.exp(S[j]! - most);
          total += w;
          sx += w * MX[j]!;
          sy += w * MY[j]!;
        }
        O[2 * i] = sx / total;
        O[2 * i + 1] = sy / total;
        M[2 * i] = most;
        M[2 * i + 1] = total;
      }
    },
    squares(g, n) {
      return view(g, n).reduce((sum, value) => sum + value * value, 0);
    },
    adam(w, g, first, second, average, n, clip, rate, beta1, beta2, root, decay) {
      const [W, G, M, V, E] = [view(w, n), view(g, n), view(first, n), view(second, n), view(average, n)];
      for (let i = 0; i < n; i++) {
        const d = G[i]! * clip;
        M[i]! += (1 - beta1) * (d - M[i]!);
        V[i]! += (1 - beta2) * (d * d - V[i]!);
        W[i]! -= (rate * M[i]!) / (Math.sqrt(V[i]!) / root + 1e-8);
        E[i]! += (1 - decay) * (W[i]! - E[i]!);
      }
    },
  };
}
