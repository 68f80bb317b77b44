// The kernels' module. Offsets are bytes in the imported memory; sizes are pixels unless a name says bytes. Nothing here checks its arguments: draw.ts does.
// Every kernel writes exactly its destination and reads at most 15 bytes past the end of its source.
export { copyRows, fillBox, flip } from "./block";
export { scaleShift, saturate, turnHue, gray } from "./colour";
export { resizeRows, resizeColumns } from "./resize";
export { blur } from "./blur";
export { turnQuarter, turnHalf } from "./turn";
export { warp } from "./warp";
export { lumaSums, absoluteDifference } from "./sums";
