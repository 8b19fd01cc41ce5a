// Ends what has been silent for too long.

/** A signal that fires where nothing was heard for a while. */
export class Silence {
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #limitMs: number | undefined;

  /** Fires after a silence, after {@link end}, or together with the signal of whoever started this. */
  readonly signal: AbortSignal;

  constructor(outer?: AbortSignal) {
    this.signal = outer ? AbortSignal.any([outer, this.#controller.signal]) : this.#controller.signal;
  }

  /** From now on, so many milliseconds of silence are too much. */
  begin(limitMs: number): void {
    this.heard();
    this.#timer = setTimeout(() => {
      this.#limitMs = limitMs;
      this.#controller.abort();
    }, limitMs);
  }

  /** Something was heard; nothing is expected until the next {@link begin}. */
  heard(): void {
    clearTimeout(this.#timer);
  }

  /** How long the silence was that fired; undefined where none did. */
  get lastedMs(): number | undefined {
    return this.#limitMs;
  }

  /** Lets go of whatever holds the signal. */
  end(): void {
    this.heard();
    this.#controller.abort();
  }
}
