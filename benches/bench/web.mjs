// Runs one model on ONNX Runtime Web, as worker.py tells it on standard input:
//
//     node web.mjs <folder of node_modules> <model> <inputs>

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, model, inputs] = process.argv.slice(2);
const ort = createRequire(folder + "/")("onnxruntime-web");

// The formats' names of types: safetensors, ONNX Runtime, JavaScript.
const TYPES = [
  ["F32", "float32", Float32Array],
  ["I64", "int64", BigInt64Array],
  ["I32", "int32", Int32Array],
  ["I8", "int8", Int8Array],
  ["U8", "uint8", Uint8Array],
  ["BOOL", "bool", Uint8Array],
];

function readTensors(file) {
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.subarray(8, start));
  delete header.__metadata__;
  const tensor = ({ dtype, shape, data_offsets: [from, to] }) => {
    const [, type, Elements] = TYPES.find(([name]) => name === dtype);
    const data = new Uint8Array(bytes.subarray(start + from, start + to));
    return new ort.Tensor(type, new Elements(data.buffer), shape);
  };
  return Object.fromEntries(Object.entries(header).map(([name, entry]) => [name, tensor(entry)]));
}

function writeTensors(file, tensors) {
  const [header, parts] = [{}, []];
  let end = 0;
  for (const [name, { type, dims, data }] of Object.entries(tensors)) {
    const [dtype] = TYPES.find(([, known]) => known === type);
    header[name] = { dtype, shape: dims, data_offsets: [end, end + data.byteLength] };
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    end += data.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(file, Buffer.concat([length, json, ...parts]));
}

const cpuTime = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
};

async function run(times) {
  const [wall, cpu] = [[], []];
  for (let time = 0; time < times; time++) {
    const [start, cpuStart] = [process.hrtime.bigint(), cpuTime()];
    await session.run(feeds);
    wall.push(Number(process.hrtime.bigint() - start));
    cpu.push(cpuTime() - cpuStart);
  }
  return { wall, cpu };
}

async function answer(line) {
  const [command, argument] = line.split(/ (.*)/);
  if (command === "run") return run(Number(argument));
  if (command !== "outputs") throw new Error(`unknown command ${line}`);
  writeTensors(argument, await session.run(feeds));
  return {};
}

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
let session, feeds;
try {
  session = await ort.InferenceSession.create(readFileSync(model), {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  });
  feeds = readTensors(inputs);
  console.log("{}");
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(line)));
  }
} catch (error) {
  console.error(`error: ${String(error?.message ?? error).split("\n")[0]}`);
  process.exitCode = 1;
}
