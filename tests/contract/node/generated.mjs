// The types that openapi-typescript makes of /openapi.json, and a program that uses them with openapi-fetch: held
// against its compiler, strictly, with the default options of all three. `node generated.mjs MODEL` prints what it saw.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import openapiTS, { astToString } from "openapi-typescript";

const here = dirname(fileURLToPath(import.meta.url));
const OPTIONS = "--strict --skipLibCheck --target es2022 --module nodenext --moduleResolution nodenext".split(" ");

const folder = mkdtempSync(join(here, ".generated-"));
try {
  const document = await (await fetch(`${process.env.INFERNET_URL}/openapi.json`)).text();
  writeFileSync(join(folder, "api.d.ts"), astToString(await openapiTS(document)));
  copyFileSync(join(here, "generated_program.ts"), join(folder, "program.ts"));
  compile(join(folder, "program.ts"));
  const { seen } = await import(pathToFileURL(join(folder, "program.js")));
  console.log(JSON.stringify(await seen(process.env.INFERNET_URL, process.env.INFERNET_KEY, process.argv[2])));
} finally {
  rmSync(folder, { recursive: true });
}

function compile(program) {
  try {
    execFileSync(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), ...OPTIONS, program]);
  } catch (error) {
    throw new Error(`${error.stdout}`);
  }
}
