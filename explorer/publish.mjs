// Put the built page into the Python package and record its bytes; with --check, compare instead.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const built = readFileSync(join(import.meta.dirname, "dist", "index.html"));
const target = join(import.meta.dirname, "..", "src", "softmaxes", "explorer", "index.html");
const record = join(import.meta.dirname, "built.sha256");
const digest = `${createHash("sha256").update(built).digest("hex")}  index.html\n`;

if (process.argv.includes("--check")) {
  if (!readFileSync(target).equals(built) || readFileSync(record, "utf8") !== digest) {
    console.error("The committed page is not what its sources build: run `npm run build` in explorer/ and commit the result.");
    process.exit(1);
  }
  console.log("The committed page is what its sources build, byte for byte.");
} else {
  writeFileSync(target, built);
  writeFileSync(record, digest);
  console.log(`${built.length} bytes, sha256 ${digest.slice(0, 12)}`);
}
