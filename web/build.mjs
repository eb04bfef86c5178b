// Builds the page's one script, and the tests.
//
//   node build.mjs           src/diffuscope/viewer/viewer.js and viewer.css
//   node build.mjs --check   fails where these are not what a fresh build gives
//   node build.mjs --tests   build/test/*.mjs, for node --test

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "src", "diffuscope", "viewer");
const LIMIT = 100 * 1024; // bytes

mkdirSync(join(here, "build"), { recursive: true });

async function kernels() {
  const options = ["--enable", "simd", "-Oz", "--converge", "--runtime", "stub", "--noAssert", "--initialMemory", "16"];
  const { error, stderr } = await asc.main(
    ["kernels/kernels.ts", "--outFile", "build/kernels.wasm", "--baseDir", here, ...options],
  );
  if (error) throw new Error(`${error.message}\n${stderr.toString()}`);
}

const common = {
  absWorkingDir: here,
  bundle: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  loader: { ".wasm": "base64", ".css": "text" },
  logLevel: "warning",
  legalComments: "none",
};

// Members that others see, but nothing outside of this script.
const OURS = [
  ..."denoise denoiseEach element exactToo learningRate mostSteps onProgress redraw setHeat setReal setStates".split(" "),
  ..."showPoints showReal sigmaData stepOn strength timeAtRatio webgl whenever".split(" "),
];

// Private members whose names mean nothing else anywhere get short names: a tenth of the script.
function privateNames() {
  const files = readdirSync(join(here, "src"), { recursive: true }).filter((name) => name.endsWith(".ts"));
  const text = files.sort().map((name) => readFileSync(join(here, "src", name), "utf8")).join("\n");
  const declared = text.matchAll(/\bprivate (?:readonly |async )*(\w{4,})/g);
  const names = new Set(Array.from(declared, ([, name]) => name));
  names.delete("constructor");
  const alone = (name) =>
    !new RegExp(`(?<!\\bthis)[?!]?\\.${name}\\b|"${name}"|[{,]\\s*${name}\\s*[:,}](?![^{}]*\\} = this\\b)`).test(text);
  return [...new Set([...OURS, ...Array.from(names).filter(alone)])].sort();
}

async function bundle() {
  const mangleProps = new RegExp(`^(${privateNames().join("|")})$`);
  const options = { entryPoints: ["src/main.ts"], minify: true, mangleProps, write: false };
  const made = await build({ ...common, ...options });
  // Nothing in the script may end the element that holds it.
  const script = made.outputFiles[0].text.replaceAll("</", "<\\/");
  const style = await build({ ...common, entryPoints: ["src/view/page.css"], loader: {}, minify: true, write: false });
  return { "viewer.js": script, "viewer.css": style.outputFiles[0].text };
}

await kernels();
if (process.argv.includes("--tests")) {
  const entryPoints = readdirSync(join(here, "test"))
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => `test/${name}`);
  const options = { format: "esm", platform: "node", outExtension: { ".js": ".mjs" }, outdir: "build/test" };
  await build({ ...common, ...options, entryPoints });
} else {
  const files = await bundle();
  for (const [name, text] of Object.entries(files)) {
    const path = join(target, name);
    if (process.argv.includes("--check")) {
      if (readFileSync(path, "utf8") !== text) throw new Error(`${name} is not what a fresh build gives: make web`);
    } else {
      writeFileSync(path, text);
      console.log(`${name}: ${Buffer.byteLength(text).toLocaleString("en")} bytes`);
    }
  }
  const size = Buffer.byteLength(files["viewer.js"]);
  if (size > LIMIT) throw new Error(`The script has ${size} bytes, more than ${LIMIT}.`);
}
