import { StreamError } from "../errors.ts";
import type { Json } from "../model.ts";
import type { Meta } from "./codec.ts";

/** The fields of one map, each checked as it is asked for. */
export interface Fields {
  readonly all: Meta;
  integer(name: string, least: number): number;
  number(name: string): number;
  readonly text: (name: string) => string;
  readonly flag: (name: string) => boolean;
  readonly id: () => number;
  oneOf<T extends string>(name: string, values: readonly T[]): T;
  readonly integers: (name: string) => readonly number[];
  readonly texts: (name: string) => readonly string[];
  map(name: string): Fields;
  maps<T>(name: string, item: (fields: Fields) => T): readonly T[];
  counts(): { readonly [name: string]: number };
  allTexts(): { readonly [name: string]: string };
  /** {} where the field is missing or nil, else { name: value }. */
  optional<Name extends string, T>(name: Name, field: (name: Name) => T): { [Key in Name]?: T };
}

/** Throws PROTOCOL for what is missing or of another kind. */
export function fieldsOf(all: Meta): Fields {
  const wrong = (name: string, wanted: string): StreamError => {
    const given = Object.hasOwn(all, name) ? JSON.stringify(all[name]).slice(0, 60) : "missing";
    return new StreamError("PROTOCOL", `field ${name} must be ${wanted}, and is ${given}`);
  };
  const list = (name: string): readonly Json[] => {
    const value = all[name];
    if (!Array.isArray(value)) throw wrong(name, "an array");
    return value as readonly Json[];
  };
  const fields: Fields = {
    all,
    integer(name, least) {
      const value = all[name];
      if (!Number.isSafeInteger(value) || Number(value) < least)
        throw wrong(name, `an integer from ${least} to 2^53 - 1`);
      return value as number;
    },
    number(name) {
      const value = all[name];
      if (typeof value !== "number") throw wrong(name, "a number");
      return value;
    },
    text(name) {
      const value = all[name];
      if (typeof value !== "string") throw wrong(name, "text");
      return value;
    },
    flag(name) {
      const value = all[name];
      if (typeof value !== "boolean") throw wrong(name, "true or false");
      return value;
    },
    id: () => fields.integer("id", 1),
    oneOf(name, values) {
      const value = values.find((known) => known === all[name]);
      if (value === undefined) throw wrong(name, `one of ${values.join(", ")}`);
      return value;
    },
    integers(name) {
      const values = list(name);
      if (!values.every((value) => Number.isSafeInteger(value) && Number(value) >= 0))
        throw wrong(name, "an array of integers");
      return values as readonly number[];
    },
    texts(name) {
      const values = list(name);
      if (!values.every((value) => typeof value === "string"))
        throw wrong(name, "an array of text");
      return values;
    },
    map(name) {
      const value = all[name];
      if (!isPlainMap(value)) throw wrong(name, "a map");
      return fieldsOf(value);
    },
    maps(name, item) {
      return list(name).map((value) => {
        if (!isPlainMap(value)) throw wrong(name, "an array of maps");
        return item(fieldsOf(value));
      });
    },
    counts() {
      for (const name of Object.keys(all)) fields.integer(name, 0);
      return all as { readonly [name: string]: number };
    },
    allTexts() {
      for (const name of Object.keys(all)) fields.text(name);
      return all as { readonly [name: string]: string };
    },
    optional(name, field) {
      const given: Partial<Record<typeof name, ReturnType<typeof field>>> = {};
      if (all[name] !== undefined && all[name] !== null) given[name] = field(name);
      return given;
    },
  };
  return fields;
}

function isPlainMap(value: Json | undefined): value is Meta {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
