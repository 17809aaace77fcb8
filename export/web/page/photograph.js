// Photographs as the student takes them: RGB bytes of a size.

/** A file as a bitmap, upright, its colours as they are stored. */
export async function decode(file) {
  try {
    return await createImageBitmap(file, {
      colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image",
    });
  } catch {
    throw new Error(`${file.name || "photograph"}: not a picture that this browser can read`);
  }
}

/**
 * The size at which a photograph goes in: its longer side at most `longest`, never enlarged.
 * A student of one size takes that size. Throws an Error when the photograph is too small.
 */
export function fitSize(width, height, longest, card) {
  if (card.size_px) return { height: card.size_px[0], width: card.size_px[1] };
  const share = Math.min(1, longest / Math.max(width, height));
  const fitted = { height: Math.round(height * share), width: Math.round(width * share) };
  const least = card.multiple_px;
  if (Math.min(fitted.height, fitted.width) < least) {
    throw new Error(
      `photograph: ${width} × ${height} px becomes ${fitted.width} × ${fitted.height} px; ` +
      `the student needs at least ${least} × ${least} px`,
    );
  }
  return fitted;
}

/** RGB bytes of a bitmap or a video frame, scaled to a size: {pixels, height, width}. */
export function toPixels(source, { height, width }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  const rgba = context.getImageData(0, 0, width, height).data;
  const pixels = new Uint8Array(height * width * 3);
  for (let from = 0, to = 0; to < pixels.length; from += 4) {
    pixels[to++] = rgba[from];
    pixels[to++] = rgba[from + 1];
    pixels[to++] = rgba[from + 2];
  }
  return { pixels, height, width };
}
