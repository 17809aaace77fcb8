// What the student says of one pixel, in words.

/** prediction: {height, width, outputs}. Returns [what, value, how sure] of each task. */
export function describePixel({ outputs, width }, x, y, card) {
  const at = y * width + x;
  const { depth_m: depth, normal, segment, confidence } = outputs;
  const sure = card.tasks.map((_, i) => confidence.data[at * card.tasks.length + i]);
  const say = {
    depth: () => ["depth", describeDepth(depth.data[at], card.depth_kind)],
    normal: () => ["surface", describeNormal(normal.data.subarray(3 * at, 3 * at + 3))],
    segment: () => ["class", card.classes[segment.data[at]]?.name ?? "unknown"],
  };
  return card.tasks.map((task, i) => [...say[task](), `${Math.round(100 * sure[i])} % sure`]);
}

function describeDepth(depth, kind) {
  if (depth === Infinity) return "sky";
  if (kind === "affine") return `${depth.toFixed(2)} (0 near, 1 far)`;
  return metres(depth);
}

/** Three digits of a length in metres. */
export function metres(length) {
  return `${length < 10 ? length.toFixed(2) : length < 100 ? length.toFixed(1) : length.toFixed(0)} m`;
}

/** Where a surface looks, and its angle from looking straight at the camera. */
function describeNormal([right, up, towards]) {
  const angle = Math.round((Math.acos(Math.min(1, Math.max(-1, towards))) * 180) / Math.PI);
  if (angle < 15) return `${angle}°, faces the camera`;
  const sideways = Math.abs(right) > Math.abs(up);
  const side = sideways ? (right > 0 ? "right" : "left") : up > 0 ? "up" : "down";
  return `${angle}°, faces ${side}`;
}
