import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isHubAddress, parseHubAddress } from "../../src/sources/hub-address.ts";

function parts(address: string): unknown {
  const { address: written, ...rest } = parseHubAddress(address);
  expect(written).toBe(address);
  return rest;
}

describe("addresses of the Hub", () => {
  test.each([
    ["hf://datasets/owner/name", { repo: "owner/name", path: "" }],
    ["hf://datasets/owner/name/", { repo: "owner/name", path: "" }],
    ["hf://datasets/mnist", { repo: "mnist", path: "" }],
    [
      "hf://datasets/mnist@main/a/*.parquet",
      { repo: "mnist", revision: "main", path: "a/*.parquet" },
    ],
    ["hf://datasets/owner/name/a/b.tar", { repo: "owner/name", path: "a/b.tar" }],
    [
      "hf://datasets/owner/name@v1.0/x-{00..11}.tar",
      { repo: "owner/name", revision: "v1.0", path: "x-{00..11}.tar" },
    ],
    [
      "hf://datasets/owner/name@feature%2Fnew",
      { repo: "owner/name", revision: "feature/new", path: "" },
    ],
    [
      "hf://datasets/owner/name@refs/convert/parquet",
      { repo: "owner/name", revision: "refs/convert/parquet", path: "" },
    ],
    [
      "hf://datasets/owner/name@refs/convert/parquet/default/train/*.parquet",
      { repo: "owner/name", revision: "refs/convert/parquet", path: "default/train/*.parquet" },
    ],
    [
      "hf://datasets/owner/name@refs%2Fconvert%2Fparquet/default/0000.parquet",
      { repo: "owner/name", revision: "refs/convert/parquet", path: "default/0000.parquet" },
    ],
    [
      "hf://datasets/owner/name@refs/pr/12/a.tar",
      { repo: "owner/name", revision: "refs/pr/12", path: "a.tar" },
    ],
    // as HfFileSystem: "refs" alone is a branch
    [
      "hf://datasets/owner/name@refs/heads/x",
      { repo: "owner/name", revision: "refs", path: "heads/x" },
    ],
    ["hf://datasets/owner/name/a@b/c.tar", { repo: "owner/name", path: "a@b/c.tar" }],
    ["hf://datasets/o-w.n_er/n.a-m_e//a//b/", { repo: "o-w.n_er/n.a-m_e", path: "a/b" }],
    ["hf://datasets/owner/name/50%.tar", { repo: "owner/name", path: "50%.tar" }],
  ])("%s", (address, expected) => {
    expect(parts(address)).toEqual(expected);
  });

  test.each([
    "hf://owner/name",
    "hf://models/owner/name",
    "hf://datasets",
    "hf://datasets/",
    "hf://datasets//",
    "hf://datasets/@main",
    "hf://datasets/owner/@main",
    "hf://datasets/owner/name@",
    "hf://datasets/owner/name@/a.tar",
    "hf://datasets/owner/name@..%2F..%2Fetc",
    "hf://datasets/owner/name@%2Fetc",
    "hf://datasets/owner/name@a%2F",
    "hf://datasets/owner/name@a%2F.b",
    "hf://datasets/owner/name@a%5Cb",
    "hf://datasets/owner/name@a%00b",
    "hf://datasets/owner/name@%zz",
    "hf://datasets/owner/name@%ff",
    "hf://datasets/owner/../x",
    "hf://datasets/../x",
    "hf://datasets/owner/name/../x.tar",
    "hf://datasets/owner/name/./x.tar",
    "hf://datasets/owner/name/a\nb.tar",
    "hf://datasets/own--er/name",
    "hf://datasets/owner/name.git",
    "hf://datasets/.owner/name",
    `hf://datasets/owner/${"n".repeat(96)}`,
  ])("%j is refused", (address) => {
    expect(() => parseHubAddress(address)).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
  });

  test("any branch comes back, written percent-encoded", () => {
    const part = fc
      .stringMatching(/^[\w%#&=+@ü-][\w%#&=+@ü.-]{0,8}$/)
      .filter((one) => !one.includes(".."));
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 3 }),
        fc.array(part, { maxLength: 3 }),
        (branch, path) => {
          const revision = branch.join("/");
          const end = path.length > 0 ? `/${path.join("/")}` : "";
          expect(parts(`hf://datasets/o/n@${encodeURIComponent(revision)}${end}`)).toEqual({
            repo: "o/n",
            revision,
            path: path.join("/"),
          });
        },
      ),
    );
  });

  test("whose they are", () => {
    expect(isHubAddress("hf://datasets/a/b")).toBe(true);
    expect(isHubAddress("hf://a/b")).toBe(true);
    expect(isHubAddress("https://huggingface.co/datasets/a/b")).toBe(false);
    expect(isHubAddress("datasets/a/b")).toBe(false);
  });
});
