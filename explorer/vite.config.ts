import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { defineConfig, type Plugin } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

const ROOT = import.meta.dirname;

/** Everything the built page depends on; tests/test_explorer.py computes the same digest without Node. */
const SOURCES = ["index.html", "package-lock.json", "package.json", "src", "tsconfig.json", "vite.config.ts"];

function filesUnder(path: string): string[] {
  return statSync(path).isDirectory() ? readdirSync(path).sort().flatMap((name) => filesUnder(join(path, name))) : [path];
}

function sourceDigest(): string {
  const hash = createHash("sha256");
  for (const file of SOURCES.flatMap((name) => filesUnder(join(ROOT, name)))) {
    hash.update(relative(ROOT, file).replaceAll("\\", "/")).update("\0");
    hash.update(readFileSync(file, "utf8").replaceAll("\r\n", "\n")).update("\0");
  }
  return hash.digest("hex");
}

/** Stamp the page with the digest of its sources, so that a forgotten rebuild is seen. */
const stamp: Plugin = {
  name: "stamp-sources",
  transformIndexHtml: (html) => html.replace("%SOURCE_DIGEST%", sourceDigest()),
};

export default defineConfig({
  plugins: [stamp, viteSingleFile({ removeViteModuleLoader: true })],
  build: {
    outDir: "dist",
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // these know light-dark(); its emulation would ignore the theme button
    emptyOutDir: true,
    reportCompressedSize: false,
  },
});
