// The worker that runs the student, so that the page stays responsive.
//
// Messages in: {id, kind: "open", backend, card} and {id, kind: "run", pixels, height, width}.
// Messages out: {id, value} or {id, error}.

const RUNTIMES = {
  wasm: "./runtime/ort.wasm.bundle.min.mjs",
  webgpu: "./runtime/ort.webgpu.bundle.min.mjs",
};
const MAX_THREADS = 8; // more of them wait for each other on students of this size
const CHECK_TOLERANCE = 0.02;
const SKY_M = 100; // metric students say Infinity only from here on, and where the class is sky

let ort;
let session;

const actions = { open, run };

let before = Promise.resolve(); // a session runs one photograph at a time

self.onmessage = ({ data }) => {
  before = before.then(() => answer(data));
};

async function answer({ id, kind, ...request }) {
  try {
    const { value, transfer = [] } = await actions[kind](request);
    self.postMessage({ id, value }, transfer);
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
}

/** Open the student on "wasm" or "webgpu". A worker does so once. */
async function open({ backend, card }) {
  ort = await import(RUNTIMES[backend]);
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = crossOriginIsolated
    ? Math.min(navigator.hardwareConcurrency || 1, MAX_THREADS) : 1;
  const model = new Uint8Array(await (await fetch("./model.onnx")).arrayBuffer());
  session = await ort.InferenceSession.create(model, { executionProviders: [backend] });
  const found = await predict(session, ...testPicture(card)); // the first run is slow
  if (backend === "webgpu") await requireAgreement(found, model, card);
  return { value: { threads: ort.env.wasm.numThreads } };
}

/** Some GPUs and drivers compute wrong values without an error: hold WebGPU against WASM once. */
async function requireAgreement(found, model, card) {
  const reference = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  const expected = await predict(reference, ...testPicture(card));
  await reference.release();
  for (const name of session.outputNames) {
    const difference = meanDifference(expected[name].data, found[name].data);
    if (!(difference <= CHECK_TOLERANCE)) {
      throw new Error(`it computes another ${name} than WebAssembly does`);
    }
  }
}

/** [pixels, height, width] of a small picture that is not flat. */
function testPicture({ size_px: sizePx, multiple_px: multiple }) {
  const [height, width] = sizePx ?? [2 * multiple, 3 * multiple];
  const pixels = Uint8Array.from({ length: height * width * 3 }, (_, i) => (i * 7) % 251);
  return [pixels, height, width];
}

/**
 * Mean |difference| relative to the mean |value|; where both are infinite they agree. What only one
 * calls sky (infinite) is taken as near as sky can be to the other.
 */
function meanDifference(expected, found) {
  let apart = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    if (expected[i] === found[i]) continue;
    apart += Math.abs(skyBegins(expected[i], found[i]) - skyBegins(found[i], expected[i]));
  }
  for (const value of expected) size += Number.isFinite(value) ? Math.abs(value) : 0;
  return apart / Math.max(size, 1e-6);
}

function skyBegins(value, other) {
  return value === Infinity ? Math.max(other, SKY_M) : value;
}

/** Outputs for one photograph: {outputs: {name: {data, dims}}, ms}. */
async function run({ pixels, height, width }) {
  const started = performance.now();
  const outputs = await predict(session, pixels, height, width);
  const ms = performance.now() - started;
  return { value: { outputs, ms }, transfer: Object.values(outputs).map((o) => o.data.buffer) };
}

async function predict(on, pixels, height, width) {
  const image = new ort.Tensor("uint8", pixels, [1, height, width, 3]);
  const results = await on.run({ image });
  const outputs = {};
  for (const [name, tensor] of Object.entries(results)) {
    outputs[name] = { data: (await tensor.getData()).slice(), dims: tensor.dims };
    tensor.dispose();
  }
  return outputs;
}
