// The student as the page sees it: a worker behind two calls.

/** Where the student can run here: [{id, label, software}], the fastest real one first. */
export async function findBackends() {
  const wasm = { id: "wasm", label: "WebAssembly", software: false };
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (!adapter) return [wasm];
  const { architecture, vendor, description, isFallbackAdapter } = adapter.info;
  const software = architecture === "swiftshader" || Boolean(isFallbackAdapter);
  const name = software ? "software" : description || [vendor, architecture].join(" ").trim();
  const webgpu = { id: "webgpu", label: `WebGPU (${name || "GPU"})`, software };
  return software ? [wasm, webgpu] : [webgpu, wasm];
}

export class Student {
  #worker = new Worker(new URL("./inference.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #last = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, value, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(value);
      else reject(new Error(error));
    };
    this.#worker.onerror = (event) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(event.message));
      this.#waiting.clear();
    };
  }

  /** Returns {threads}. A student is opened once; for another backend take another student. */
  open(backend, card) {
    return this.#ask({ kind: "open", backend, card });
  }

  /**
   * pixels: Uint8Array of height * width * 3, RGB; it is given away.
   * Returns {outputs: {name: {data, dims}}, ms}: depth_m and normal as Float32Array, segment as
   * Uint8Array, confidence as Float32Array with one channel for each task.
   */
  predict({ pixels, height, width }) {
    return this.#ask({ kind: "run", pixels, height, width }, [pixels.buffer]);
  }

  close() {
    this.#worker.terminate();
  }

  #ask(request, transfer = []) {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...request }, transfer);
    });
  }
}
