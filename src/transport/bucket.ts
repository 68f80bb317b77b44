/** How often something may happen: `rate` times a second, and as often at once. It may go into debt. */
export interface Bucket {
  take(): void;
  /** Milliseconds until the debt is paid; 0 where there is none. */
  readonly debt: number;
}

/** `now` in milliseconds. */
export function createBucket(rate: number, now: () => number): Bucket {
  let left = rate;
  let at = now();
  const refill = (): void => {
    const time = now();
    left = Math.min(rate, left + ((time - at) / 1000) * rate);
    at = time;
  };
  return {
    take() {
      refill();
      left--;
    },
    get debt() {
      refill();
      return left >= 0 ? 0 : (-left / rate) * 1000;
    },
  };
}
