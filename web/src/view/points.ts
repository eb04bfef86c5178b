// How are many points drawn, between any two states of a walk? By WebGL, or on a plain canvas.

type Colour = [number, number, number];

/** What is drawn in one frame. Colours are from 0 to 1. */
export interface Frame {
  /** From state 0 to the last; between two whole numbers points are between two states. */
  position: number;
  colour: Colour;
  alpha: number;
  size: number;
  /** Of the first real points, and of the others. */
  real: { colours: Colour[]; alpha: number; size: number } | null;
  /** Whether the heat map is drawn. */
  heat: boolean;
}

/** The half width of the picture, in units of the display. */
export const EXTENT = 3.2;
const RANGE = 8; // of the 16-bit coordinates

export interface PointLayer {
  readonly canvas: HTMLCanvasElement;
  readonly webgl: boolean;
  /** States (k, n, 2) in units of the display. */
  setStates(states: Float32Array, n: number): void;
  /** Real points, those of the first class first: so many are of it. */
  setReal(points: Float32Array, first: number): void;
  /** An image of m × m pixels, RGBA with premultiplied alpha, the first row at the bottom. */
  setHeat(pixels: Uint8Array, m: number): void;
  draw(frame: Frame): void;
}

const POINTS_VERTEX = `#version 300 es
in vec2 a, b;
uniform float part, size, stretch;
void main() {
  gl_Position = vec4(mix(a, b, part) * stretch, 0.0, 1.0);
  gl_PointSize = size;
}`;
const POINTS_FRAGMENT = `#version 300 es
precision mediump float;
uniform vec4 colour;
out vec4 pixel;
void main() {
  float r = length(gl_PointCoord - 0.5) * 2.0;
  pixel = colour * (1.0 - smoothstep(0.7, 1.0, r));
}`;
const HEAT_VERTEX = `#version 300 es
in vec2 corner;
out vec2 place;
void main() {
  place = corner * 0.5 + 0.5;
  gl_Position = vec4(corner, 0.0, 1.0);
}`;
const HEAT_FRAGMENT = `#version 300 es
precision mediump float;
uniform sampler2D heat;
in vec2 place;
out vec4 pixel;
void main() { pixel = texture(heat, place); }`;

/** Coordinates as 16-bit integers: an error of a hundredth of a pixel. */
function packed(points: Float32Array): Int16Array {
  return Int16Array.from(points, (v) => Math.round((Math.max(-RANGE, Math.min(RANGE, v)) / RANGE) * 32767));
}

class GlLayer implements PointLayer {
  readonly webgl = true;
  private points!: WebGLProgram;
  private heat!: WebGLProgram;
  private buffers!: { states: WebGLBuffer; real: WebGLBuffer; corners: WebGLBuffer };
  private texture!: WebGLTexture;
  private states: Int16Array = new Int16Array(0);
  private real: Int16Array = new Int16Array(0);
  private pixels: { data: Uint8Array; m: number } | null = null;
  private n = 0;
  private first = 0;

  constructor(
    readonly canvas: HTMLCanvasElement,
    private readonly gl: WebGL2RenderingContext,
    redraw: () => void,
  ) {
    this.prepare();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.prepare();
      redraw();
    });
  }

  private prepare(): void {
    const { gl } = this;
    const program = (vertex: string, fragment: string): WebGLProgram => {
      const made = gl.createProgram();
      for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]] as const) {
        const shader = gl.createShader(kind)!;
        gl.shaderSource(shader, source);
        gl.compileShader(shader);
        gl.attachShader(made, shader);
      }
      gl.linkProgram(made);
      return made;
    };
    this.points = program(POINTS_VERTEX, POINTS_FRAGMENT);
    this.heat = program(HEAT_VERTEX, HEAT_FRAGMENT);
    this.buffers = { states: gl.createBuffer(), real: gl.createBuffer(), corners: gl.createBuffer() };
    this.fill(this.buffers.corners, Int16Array.of(-32767, -32767, 32767, -32767, -32767, 32767, 32767, 32767));
    this.fill(this.buffers.states, this.states);
    this.fill(this.buffers.real, this.real);
    this.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    for (const way of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, way, gl.LINEAR);
    if (this.pixels) this.setHeat(this.pixels.data, this.pixels.m);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA); // colours are multiplied by their alpha
  }

  private fill(buffer: WebGLBuffer, values: Int16Array): void {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, buffer);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, values, this.gl.STATIC_DRAW);
  }

  setStates(states: Float32Array, n: number): void {
    this.states = packed(states);
    this.n = n;
    this.fill(this.buffers.states, this.states);
  }

  setReal(points: Float32Array, first: number): void {
    this.real = packed(points);
    this.first = first;
    this.fill(this.buffers.real, this.real);
  }

  setHeat(pixels: Uint8Array, m: number): void {
    const { gl } = this;
    this.pixels = { data: pixels, m };
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, m, m, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  }

  private attribute(program: WebGLProgram, name: string, offset = 0): void {
    const at = this.gl.getAttribLocation(program, name);
    this.gl.enableVertexAttribArray(at);
    this.gl.vertexAttribPointer(at, 2, this.gl.SHORT, true, 0, offset);
  }

  private cloud(
    buffer: WebGLBuffer, n: number, from: number, to: number, part: number, colour: Colour, alpha: number, size: number, first = 0, count = n,
  ): void {
    const { gl, points } = this;
    gl.useProgram(points);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    this.attribute(points, "a", from * n * 4);
    this.attribute(points, "b", to * n * 4);
    const place = (name: string): WebGLUniformLocation | null => gl.getUniformLocation(points, name);
    gl.uniform1f(place("part"), part);
    gl.uniform1f(place("size"), size);
    gl.uniform1f(place("stretch"), RANGE / EXTENT);
    gl.uniform4f(place("colour"), colour[0] * alpha, colour[1] * alpha, colour[2] * alpha, alpha);
    gl.drawArrays(gl.POINTS, first, count);
  }

  draw(frame: Frame): void {
    const { gl } = this;
    if (gl.isContextLost()) return;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (frame.heat && this.pixels) {
      gl.useProgram(this.heat);
      gl.bindTexture(gl.TEXTURE_2D, this.texture);
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers.corners);
      this.attribute(this.heat, "corner");
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
    if (frame.real) {
      const { colours, alpha, size } = frame.real;
      const n = this.real.length / 2;
      this.cloud(this.buffers.real, n, 0, 0, 0, colours[0]!, alpha, size, 0, this.first);
      if (this.first < n) this.cloud(this.buffers.real, n, 0, 0, 0, colours[1]!, alpha, size, this.first, n - this.first);
    }
    if (!this.n) return;
    const last = this.states.length / (2 * this.n) - 1;
    const from = Math.min(last, Math.floor(frame.position));
    this.cloud(
      this.buffers.states, this.n, from, Math.min(last, from + 1), frame.position - from,
      frame.colour, frame.alpha, frame.size,
    );
  }
}

class PlainLayer implements PointLayer {
  readonly webgl = false;
  private states: Float32Array = new Float32Array(0);
  private real: Float32Array = new Float32Array(0);
  private heat: HTMLCanvasElement | null = null;
  private n = 0;
  private first = 0;

  constructor(
    readonly canvas: HTMLCanvasElement,
    private readonly context: CanvasRenderingContext2D,
  ) {}

  setStates(states: Float32Array, n: number): void {
    this.states = states;
    this.n = n;
  }

  setReal(points: Float32Array, first: number): void {
    this.real = points;
    this.first = first;
  }

  setHeat(pixels: Uint8Array, m: number): void {
    const image = new ImageData(m, m);
    for (let row = 0; row < m; row++) {
      for (let i = 0; i < m; i++) {
        const [from, to] = [4 * (row * m + i), 4 * ((m - 1 - row) * m + i)];
        const alpha = pixels[from + 3]! || 1;
        for (let c = 0; c < 3; c++) image.data[to + c] = (255 * pixels[from + c]!) / alpha;
        image.data[to + 3] = pixels[from + 3]!;
      }
    }
    this.heat = document.createElement("canvas");
    [this.heat.width, this.heat.height] = [m, m];
    this.heat.getContext("2d")!.putImageData(image, 0, 0);
  }

  draw(frame: Frame): void {
    const { context, canvas } = this;
    const { width, height } = canvas;
    context.clearRect(0, 0, width, height);
    if (frame.heat && this.heat) context.drawImage(this.heat, 0, 0, width, height);
    const fill = ([r, g, b]: Colour, alpha: number): void => {
      context.fillStyle = `rgb(${r * 255} ${g * 255} ${b * 255} / ${alpha})`;
    };
    const dot = (x: number, y: number, size: number): void => {
      const [px, py] = [(x / EXTENT + 1) * 0.5 * width, (1 - y / EXTENT) * 0.5 * height];
      context.fillRect(px - size / 2, py - size / 2, size, size);
    };
    if (frame.real) {
      for (let i = 0; i < this.real.length; i += 2) {
        if (i === 0 || i === 2 * this.first) fill(frame.real.colours[i < 2 * this.first ? 0 : 1]!, frame.real.alpha);
        dot(this.real[i]!, this.real[i + 1]!, frame.real.size * 0.8);
      }
    }
    if (!this.n) return;
    const last = this.states.length / (2 * this.n) - 1;
    const from = Math.min(last, Math.floor(frame.position));
    const part = frame.position - from;
    const [a, b] = [2 * this.n * from, 2 * this.n * Math.min(last, from + 1)];
    fill(frame.colour, frame.alpha);
    for (let i = 0; i < 2 * this.n; i += 2) {
      const at = (d: number): number => (1 - part) * this.states[a + i + d]! + part * this.states[b + i + d]!;
      dot(at(0), at(1), frame.size * 0.8);
    }
  }
}

/** Draw on a new canvas: by WebGL where that is there and wanted. */
export function pointLayer(redraw: () => void, webgl = true): PointLayer {
  const canvas = document.createElement("canvas");
  const gl = webgl ? canvas.getContext("webgl2", { premultipliedAlpha: true, preserveDrawingBuffer: true }) : null;
  if (gl) return new GlLayer(canvas, gl, redraw);
  const plain = document.createElement("canvas");
  return new PlainLayer(plain, plain.getContext("2d")!);
}
