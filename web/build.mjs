// Builds the page's one script, and the tests.
//
//   node build.mjs           src/diffuscope/viewer/: viewer.js and viewer.css, live.js and live.css
//   node build.mjs --check   fails where these are not what a fresh build gives
//   node build.mjs --tests   build/test/*.mjs, for node --test

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateSync } from "node:zlib";
import asc from "assemblyscript/asc";
import { build } from "esbuild";
import { privateNames } from "./names.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "src", "diffuscope", "viewer");
const LIMIT = 100 * 1024; // bytes of the script in a page, where it lies deflated, as text

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

async function bundle() {
  const mangleProps = new RegExp(`^(${privateNames(here).join("|")})$`);
  const made = await build({ ...common, entryPoints: ["src/main.ts"], minify: true, mangleProps, write: false });
  const style = async (name) => {
    const entryPoints = [`src/view/${name}.css`];
    const styled = await build({ ...common, entryPoints, loader: {}, minify: true, write: false });
    return styled.outputFiles[0].text;
  };
  const live = await build({ ...common, format: "esm", entryPoints: ["src/live.ts"], minify: true, mangleProps, write: false });
  return {
    "viewer.js": made.outputFiles[0].text,
    "viewer.css": await style("page"),
    "live.js": live.outputFiles[0].text,
    // In a notebook colours are those of the view, not of the whole page.
    "live.css": (await style("colours")).replaceAll(":root", ".diffuscope-live") + (await style("live")),
  };
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
  const size = Math.ceil(deflateSync(files["viewer.js"], { level: 9 }).length / 3) * 4;
  console.log(`In a page the script takes ${size.toLocaleString("en")} bytes.`);
  if (size > LIMIT) throw new Error(`That is more than ${LIMIT}.`);
}
