// The camera: one frame after the other, each taken when the student has finished the last.

export class Camera {
  #video = document.createElement("video");
  #stream;

  get running() {
    return Boolean(this.#stream);
  }

  /** Ask for the camera. Throws an Error that says why there is none. */
  async start() {
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "environment", width: { ideal: 1280 } },
      });
    } catch (error) {
      throw new Error(`camera: ${REASONS[error.name] ?? error.message}`);
    }
    this.#video.srcObject = this.#stream;
    this.#video.playsInline = this.#video.muted = true;
    await this.#video.play();
  }

  /** The picture of now, which the caller closes. */
  frame() {
    return createImageBitmap(this.#video);
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
  }
}

const REASONS = {
  NotAllowedError: "this page may not use it; allow it in the browser's address bar",
  NotFoundError: "this machine has none",
  NotReadableError: "another program uses it",
};
