// Bundles the view into text_lloom/widget/static/: widget.js and widget.css for notebooks, standalone.js for pages.
import { readFile } from "node:fs/promises";
import { context } from "esbuild";

// Hosts style plain elements below a class of theirs, as JupyterLab does with `.jp-ThemedContainer button`. The first
// class of each of our selectors is written twice, so that ours win without a word in the style sheets.
const firm = {
  name: "firm",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => ({
      contents: (await readFile(path, "utf8")).replace(/^(\s*[a-z]*)(\.lloom-[\w-]+)/gm, "$1$2$2"),
      loader: "css",
    }));
  },
};

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
  context({ ...shared, entryPoints: { widget: "src/style/index.css" }, outdir: out, plugins: [firm] }),
]);

if (process.argv.includes("--watch")) {
  await Promise.all(builds.map((build) => build.watch()));
} else {
  await Promise.all(builds.map((build) => build.rebuild()));
  await Promise.all(builds.map((build) => build.dispose()));
}
