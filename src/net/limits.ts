import { parseDate } from "./clock.ts";

type Headers = ReadonlyMap<string, string>;

/**
 * Milliseconds that a 429 or 503 asks to wait: Retry-After (RFC 9110, section 10.2.3: seconds, or a date, which is understood against the server's own
 * clock where it shows that).
 */
export function retryAfter(headers: Headers, wall: number): number | undefined {
  const text = headers.get("retry-after")?.trim();
  if (!text) return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const until = parseDate(text);
  if (until === undefined) return undefined;
  return Math.max(0, until - (parseDate(headers.get("date") ?? "") ?? wall));
}

/**
 * Milliseconds until there is quota again, undefined where some is left or nothing is said. Understands
 * draft-ietf-httpapi-ratelimit-headers (`RateLimit: "api";r=0;t=30`, which the Hugging Face Hub sends), its earlier form (`limit=9, remaining=0, reset=30`),
 * and RateLimit-Remaining and -Reset with or without `X-`, whose reset is in seconds or, above 10^9, seconds since 1970.
 */
export function quotaAfter(headers: Headers, wall: number): number | undefined {
  const waits: number[] = [];
  const window = numbers(headers.get("ratelimit-policy"), "w")[0];
  for (const item of (headers.get("ratelimit") ?? "").split(",")) {
    if (numbers(item, "r")[0] !== 0) continue;
    waits.push(numbers(item, "t")[0] ?? window ?? 0);
  }
  const whole = headers.get("ratelimit");
  if (numbers(whole, "remaining")[0] === 0) waits.push(numbers(whole, "reset")[0] ?? window ?? 0);
  for (const prefix of ["ratelimit", "x-ratelimit"]) {
    const left = headers.get(`${prefix}-remaining`)?.trim();
    if (left === undefined || left === "" || Number(left) !== 0) continue;
    const reset = Number(headers.get(`${prefix}-reset`)?.trim() || Number.NaN);
    if (reset > 1e9) waits.push(Math.max(0, reset - wall / 1000));
    else if (reset >= 0) waits.push(reset);
  }
  return waits.length === 0 ? undefined : Math.max(...waits) * 1000;
}

/** The parameters of this name. */
function numbers(text: string | undefined, name: string): number[] {
  const found = (text ?? "").matchAll(
    new RegExp(`(?:^|[;,\\s])${name}\\s*=\\s*(\\d+(?:\\.\\d+)?)`, "gi"),
  );
  return [...found].map(([, digits]) => Number(digits));
}
