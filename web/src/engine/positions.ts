// How do points that are only looked at travel? As 16-bit integers, in units of scale / 32767.

/** Read points that Python has quantised. */
export const positionsOf = (places: Int16Array, scale: number): Float32Array =>
  Float32Array.from(places, (v) => (v * scale) / 32767);
