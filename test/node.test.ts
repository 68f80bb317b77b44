import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findNode, nodeForms, parseNode } from "../src/node.ts";

const found = (environment: { [name: string]: string }, host = "machine"): object | undefined =>
  findNode(environment, host);

function refusal(environment: { [name: string]: string }, host = "machine"): string {
  try {
    findNode(environment, host);
  } catch (error) {
    expect(error).toMatchObject({ name: "StreamError", code: "BAD_OPTION" });
    return (error as Error).message;
  }
  throw new Error("it was not refused");
}

describe("parseNode", () => {
  it("takes i/N and a map, for every node there is", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000 }), fc.nat(), (count, any) => {
        const index = any % count;
        expect(parseNode(`${index}/${count}`)).toEqual({ index, count });
        expect(parseNode({ index, count })).toEqual({ index, count });
        expect(parseNode(`${count}/${count}`)).toBeUndefined();
        expect(parseNode({ index: count, count })).toBeUndefined();
      }),
    );
  });

  it("refuses everything else", () => {
    const texts =
      "|1|/|1/|/3|1/3/5|-1/3|1.5/3| 1/3|1e0/3|0x1/3|one/three|0/0|1/0|0/1000001|0/9999999999999|NaN/3|१/३";
    const maps = [
      {},
      { index: 0 },
      { count: 1 },
      { index: "0", count: "1" },
      { index: 0.5, count: 1 },
      { index: -1, count: 1 },
      { index: 0, count: Infinity },
      { index: Number.NaN, count: 2 },
      { index: 0, count: 1, rank: 0 },
    ];
    const others = [null, undefined, 1, true, [], [0, 1]];
    for (const given of [...texts.split("|"), ...maps, ...others])
      expect(parseNode(given), JSON.stringify(given)).toBeUndefined();
    fc.assert(
      fc.property(fc.anything(), (given) => {
        const place = parseNode(given);
        if (place) expect(place.index).toBeLessThan(place.count);
      }),
    );
  });
});

describe("findNode", () => {
  const torch = { RANK: "1", WORLD_SIZE: "4" };
  const slurm = { SLURM_PROCID: "2", SLURM_NTASKS: "8" };
  const kubernetes = { SSL_R1_NODES: "16" };

  it("asks torchrun, then Slurm, then Kubernetes", () => {
    const host = "loader-3";
    expect(found({ ...torch, ...slurm, ...kubernetes }, host)).toEqual({
      index: 1,
      count: 4,
      from: "RANK and WORLD_SIZE",
    });
    expect(found({ ...slurm, ...kubernetes }, host)).toEqual({
      index: 2,
      count: 8,
      from: "SLURM_PROCID and SLURM_NTASKS",
    });
    expect(found(kubernetes, host)).toEqual({
      index: 3,
      count: 16,
      from: "the host name and SSL_R1_NODES",
    });
  });

  it("finds nothing where nothing says so, nor in a host name alone", () => {
    expect(found({})).toBeUndefined();
    expect(found({}, "loader-3")).toBeUndefined();
    expect(found({ RANK: "", WORLD_SIZE: "", SSL_R1_NODES: " " }, "loader-3")).toBeUndefined();
    // as Slurm itself sets them: a batch script without --ntasks, the shell of salloc
    expect(found({ SLURM_PROCID: "0" })).toBeUndefined();
    expect(found({ SLURM_NTASKS: "4" })).toBeUndefined();
    expect(found({ SLURM_PROCID: "0", ...kubernetes }, "loader-5")).toMatchObject({ index: 5 });
  });

  it("takes the ordinal of a pod, by its name or its full one", () => {
    for (const [host, index] of [
      ["loader-0", 0],
      ["ssl-r1-7-12", 12],
      ["loader-3.loaders.default.svc.cluster.local", 3],
    ] as const)
      expect(found(kubernetes, host)).toMatchObject({ index, count: 16 });
  });

  it("names the variables that make no sense, what they hold and the way out", () => {
    for (const [environment, host, words] of [
      [{ RANK: "4", WORLD_SIZE: "4" }, "", ["RANK=4 and WORLD_SIZE=4"]],
      [{ RANK: "first", WORLD_SIZE: "4" }, "", ["RANK=first and WORLD_SIZE=4"]],
      [{ RANK: "1/2", WORLD_SIZE: "4" }, "", ["RANK=1/2"]],
      [{ RANK: "0", WORLD_SIZE: "0" }, "", ["WORLD_SIZE=0"]],
      [{ RANK: "1" }, "", ["RANK is set and WORLD_SIZE is not"]],
      [{ WORLD_SIZE: "1" }, "", ["WORLD_SIZE is set and RANK is not"]],
      [{ RANK: "1", ...slurm }, "", ["RANK is set and WORLD_SIZE is not"]],
      [{ SLURM_PROCID: "8", SLURM_NTASKS: "8" }, "", ["SLURM_PROCID=8 and SLURM_NTASKS=8"]],
      [{ SLURM_PROCID: "-1", SLURM_NTASKS: "8" }, "", ["SLURM_PROCID=-1"]],
      [kubernetes, "loader-16", ['host name "loader-16" and SSL_R1_NODES=16']],
      [kubernetes, "loader-03", ['host name "loader-03" has no ordinal']],
      [kubernetes, "laptop", ['host name "laptop" has no ordinal']],
      [{ SSL_R1_NODES: "many" }, "loader-1", ["SSL_R1_NODES=many"]],
    ] as const)
      for (const word of [...words, nodeForms, "--node 0/1"])
        expect(refusal(environment, host)).toContain(word);
  });
});
