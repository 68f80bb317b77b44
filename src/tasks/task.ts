import type { z } from "zod";
import type { Json } from "../model.ts";
import type { Arena, Draw, Picture } from "../images/picture.ts";
import type { Random } from "../random/random.ts";

/** What the model that looks at the images can take; per image. Within these its own resizing is the identity. */
export interface Sizes {
  /** Width and height of every shown image are multiples of this (28 for Qwen2.5-VL, 32 for Qwen3-VL). */
  readonly factor: number;
  readonly minPixels: number;
  readonly maxPixels: number;
  /** How a photo is brought to a multiple: cut at a drawn offset, or scaled to the nearest and the rest cut. */
  readonly fit: "crop" | "resize";
}

/** A photo of another group than the puzzle's own, for tasks that need strangers. */
export interface Other {
  readonly picture: Picture;
  readonly key: string;
  readonly shard: string;
}

/** All that a task may use: it does no I/O, and every random choice comes from `random`. */
export interface MakeContext {
  /** The decoded photo, EXIF orientation applied. Read only: other puzzles of the cell use it too. */
  readonly image: Picture;
  readonly draw: Draw;
  /** Scratch memory; released when make ends. Nested mark/release is welcome. */
  readonly arena: Arena;
  readonly sizes: Sizes;
  /** An independent generator for each purpose of this puzzle and attempt. */
  random(purpose: string): Random;
  /** The next image the model will see, in the order of the labels; contents undefined. */
  show(width: number, height: number): Picture;
  /**
   * `count` photos of other groups, all different, in drawn order (docs/determinism.md, "Strangers"). `accepts` is asked for each in turn, with how many were
   * accepted before it, and may already make its image. Undefined when the window has not enough.
   */
  others(
    count: number,
    accepts: (picture: Picture, accepted: number) => boolean,
  ): Promise<readonly Other[] | undefined>;
  /** Counts a rejected draw, for info and metrics. */
  reject(reason: string): void;
}

export interface Made {
  readonly answer: string;
  /** One label an image, in the order shown: "Image 1", "Reference", "A", "Patch 3". */
  readonly labels: readonly string[];
  /** Values of the {names} in the prompt template. */
  readonly values: { readonly [name: string]: string };
  /** Every drawn parameter. */
  readonly recipe: { readonly [key: string]: Json };
}

/** This photo can't carry this puzzle; a substitute is tried. A function of bytes, task and options (and drawn values of this attempt) alone. */
export interface Unusable {
  /** A few words without numbers, to count by. */
  readonly unusable: string;
  /** For a person: sizes and limits. */
  readonly detail?: string;
}

export const presets = ["robust", "paper"] as const;
export type Preset = (typeof presets)[number];

export type AnswerKind = "number" | "letter" | "sequence";

/** One kind of puzzle. One folder a task, one line in registry.ts. Shared code never asks which task it is. */
export interface Task<Options extends object = object> {
  readonly name: string;
  readonly answerKind: AnswerKind;
  /** Level names, the default first; each is a set of options. */
  readonly levels: readonly string[];
  /** How many photos of other groups one puzzle needs. */
  readonly others: number;
  /** All options, from what the user wrote, the level and the preset: the single place of their defaults. Throws z.ZodError. */
  options(given: { readonly [key: string]: unknown }, preset: Preset): Options;
  /** For documentation and `--help`: name, type and range of each option. */
  readonly schema: z.ZodType;
  /** Images in one puzzle. */
  images(options: Options): number;
  /** Default prompt template: `{images}` once, `{name}` for each value, `{suffix}` at the end. */
  readonly template: string;
  make(context: MakeContext, options: Options): Promise<Made | Unusable>;
}
