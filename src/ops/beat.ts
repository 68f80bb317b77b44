/** A clock that should tick once a second, and how late it does: what an event loop that is held up looks like from inside. */
export interface Beat {
  /** Milliseconds that more than half of the last beats were late, at least. One long stop (a laptop that slept, SIGSTOP) is forgotten with the next few beats. */
  late(): number;
  stop(): void;
}

const PERIOD = 1_000;
const REMEMBERED = 9;

/** `onBeat` is called at each. */
export function startBeat(
  onBeat: () => void = () => {},
  clock: () => number = () => performance.now(),
): Beat {
  const lateness: number[] = [];
  let due = clock() + PERIOD;
  const timer = setInterval(() => {
    const now = clock();
    lateness.push(Math.max(0, now - due));
    if (lateness.length > REMEMBERED) lateness.shift();
    due = now + PERIOD;
    onBeat();
  }, PERIOD);
  timer.unref();
  return {
    late() {
      if (lateness.length < REMEMBERED) return 0;
      return lateness.toSorted((one, other) => one - other)[REMEMBERED >> 1]!;
    },
    stop: () => clearInterval(timer),
  };
}
