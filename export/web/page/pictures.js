// Outputs as pictures for people, in the colours of teacher/pictures.py.

const SHOWN = [0.02, 0.98]; // of the known depths; the rest is clipped
const LEAST_RATIO = 1.5; // of far to near, so that a flat wall stays calm
const SAMPLED = 20000;

/** Near and far end of the colours: {near, far, log}. Affine depth has a linear scale, 0 to 1. */
export function depthScale(depth, kind) {
  if (kind === "affine") return { near: 0, far: 1, log: false };
  const step = Math.max(1, Math.floor(depth.length / SAMPLED));
  const known = depth.filter((d, i) => i % step === 0 && d > 0 && d < Infinity).sort();
  if (!known.length) return { near: 1, far: 10, log: true };
  const [near, far] = SHOWN.map((share) => known[Math.round(share * (known.length - 1))]);
  return { near, far: Math.max(far, near * LEAST_RATIO), log: true };
}

export function depthPicture(depth, width, { near, far, log }, card) {
  const share = log
    ? (d) => Math.log(d / near) / Math.log(far / near) : (d) => (d - near) / (far - near);
  return paint(depth.length, width, (i) => {
    if (depth[i] === Infinity) return card.sky_color;
    if (Number.isNaN(depth[i]) || (log && !(depth[i] > 0))) return card.unknown_color;
    return card.depth_colors[Math.round(255 * Math.min(1, Math.max(0, share(depth[i]))))];
  });
}

export function normalPicture(normal, width) {
  const level = (component) => Math.round((Math.min(1, Math.max(-1, component)) + 1) * 127.5);
  return paint(normal.length / 3, width, (i) =>
    [level(normal[3 * i]), level(normal[3 * i + 1]), level(normal[3 * i + 2])]);
}

export function segmentPicture(segment, width, card) {
  const colors = card.classes.map(({ color }) => hexColor(color));
  return paint(segment.length, width, (i) => colors[segment[i]] ?? card.unknown_color);
}

/** One channel of the confidence: dark = doubtful, light = certain. */
export function confidencePicture(confidence, width, channel, channels) {
  return paint(confidence.length / channels, width, (i) => {
    const level = Math.round(255 * confidence[i * channels + channel]);
    return [level, level, level];
  });
}

/** A ball seen from the front, in the colours of its normals: the legend of normals. */
export function normalBall(size) {
  const normal = new Float32Array(size * size * 3);
  for (let y = 0, i = 0; y < size; y++) {
    for (let x = 0; x < size; x++, i++) {
      const [right, down] = [((x + 0.5) / size) * 2 - 1, ((y + 0.5) / size) * 2 - 1];
      const squared = right ** 2 + down ** 2;
      normal.set([right, -down, Math.sqrt(Math.max(0, 1 - squared))], 3 * i);
    }
  }
  const picture = normalPicture(normal, size);
  for (let i = 0; i < size * size; i++) {
    const [right, up] = [normal[3 * i], normal[3 * i + 1]];
    const edge = ((1 - Math.hypot(right, up)) * size) / 2;
    picture.data[4 * i + 3] = 255 * Math.min(1, Math.max(0, edge));
  }
  return picture;
}

function paint(count, width, colorAt) {
  const picture = new ImageData(width, count / width);
  for (let i = 0; i < count; i++) {
    const [red, green, blue] = colorAt(i);
    picture.data[4 * i] = red;
    picture.data[4 * i + 1] = green;
    picture.data[4 * i + 2] = blue;
    picture.data[4 * i + 3] = 255;
  }
  return picture;
}

function hexColor(text) {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}
