/** Loaded before a program: its clock is set back by up to a day, again and again, and now and then put right. Steady time (performance.now) is steady. */
const Real = Date;
const EVERY = 150;
let offset = 0;
let turns = 0;

function now(): number {
  return Real.now() + offset;
}
globalThis.Date = new Proxy(Real, {
  construct: (target, given: unknown[]) =>
    given.length === 0 ? new target(now()) : (Reflect.construct(target, given) as Date),
  get: (target, name) => (name === "now" ? now : (Reflect.get(target, name) as unknown)),
});
setInterval(() => {
  turns++;
  offset = turns % 7 === 0 ? 0 : offset - ((turns * 2_654_435_761) % 86_400_000);
}, EVERY).unref();
