// Compiles the contract: `npm run build` writes NostrilChannels.json (ABI, bytecode, what it was made of).
// The same compiler and settings give the same bytes on any machine; tests/contracts/build.test.mjs compares.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const kFolder = path.dirname(fileURLToPath(import.meta.url));
const kArtifact = path.join(kFolder, "NostrilChannels.json");
const kSources = ["Assets.sol", "Bip340.sol", "EventId.sol", "NostrilChannels.sol"];

// Cancun: transient storage, on every chain of note since 2024. No metadata: nothing but code in the bytecode.
export const kSettings = {
  optimizer: { enabled: true, runs: 1_000_000 },
  viaIR: true,
  evmVersion: "cancun",
  metadata: { appendCBOR: false, bytecodeHash: "none" },
};

/// {name: source text} to {contract: {abi, bytecode}}; a warning is an error.
export function compile(sources, settings = kSettings) {
  const solc = createRequire(import.meta.url)("solc");
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(Object.entries(sources).map(([name, content]) => [name, { content }])),
    settings: { ...settings, outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } } },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const errors = (output.errors ?? []).filter(({ severity }) => severity !== "info");
  if (errors.length > 0) throw new Error(errors.map(({ formattedMessage }) => formattedMessage).join("\n"));
  const contracts = Object.assign({}, ...Object.values(output.contracts));
  return Object.fromEntries(Object.entries(contracts).map(([name, { abi, evm }]) => [name, { abi, bytecode: `0x${evm.bytecode.object}` }]));
}

export const sources = () => Object.fromEntries(kSources.map((name) => [name, fs.readFileSync(path.join(kFolder, name), "utf8")]));

/// The committed file's text, as these sources make it.
export function artifact() {
  const compiler = createRequire(import.meta.url)("solc").version();
  const { abi, bytecode } = compile(sources()).NostrilChannels;
  const entries = abi.map((entry) => `    ${JSON.stringify(entry)}`).join(",\n");
  return `{\n  "contract": "NostrilChannels",\n  "compiler": ${JSON.stringify(compiler)},\n  "settings": ${JSON.stringify(kSettings)},\n  "abi": [\n${entries}\n  ],\n  "bytecode": "${bytecode}"\n}\n`;
}

export const committed = () => fs.readFileSync(kArtifact, "utf8");

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  fs.writeFileSync(kArtifact, artifact());
  console.log(`wrote ${path.relative(process.cwd(), kArtifact)}`);
}
