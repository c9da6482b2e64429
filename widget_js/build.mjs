// Bundles the view into text_lloom/widget/static/: widget.js and widget.css for notebooks, standalone.js for pages.
import { context } from "esbuild";

const out = "../text_lloom/widget/static";
const shared = {
  bundle: true,
  minify: true,
  charset: "ascii",
  legalComments: "none",
  target: ["es2022", "chrome111", "firefox113", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  logLevel: "info",
};

const builds = await Promise.all([
  context({ ...shared, entryPoints: { widget: "src/widget.ts" }, format: "esm", outdir: out }),
  context({ ...shared, entryPoints: { standalone: "src/standalone.ts" }, format: "iife", outdir: out }),
  context({ ...shared, entryPoints: { widget: "src/style/index.css" }, outdir: out }),
]);

if (process.argv.includes("--watch")) {
  await Promise.all(builds.map((build) => build.watch()));
} else {
  await Promise.all(builds.map((build) => build.rebuild()));
  await Promise.all(builds.map((build) => build.dispose()));
}
