/** One instruction of a Dockerfile. */
export interface Instruction {
  readonly name: string;
  /** Arguments of the JSON form, or the one text of the shell form. */
  readonly args: readonly string[];
  /** `--from=build` of COPY and the like. */
  readonly flags: { readonly [name: string]: string };
}

export interface Stage {
  readonly image: string;
  readonly name: string | undefined;
  readonly instructions: readonly Instruction[];
}

/** The stages of a Dockerfile, as the reference of the format describes it, without heredocs and variables. Throws on what is no instruction. */
export function parseDockerfile(text: string): readonly Stage[] {
  const stages: { image: string; name: string | undefined; instructions: Instruction[] }[] = [];
  for (const line of text
    .replace(/^\s*#.*\n/gm, "")
    .replace(/\\\n\s*/g, " ")
    .split("\n")) {
    if (line.trim() === "") continue;
    const [, name = "", rest = ""] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (!known.has(name)) throw new Error(`no instruction: ${line}`);
    const flags: { [name: string]: string } = {};
    let body = rest;
    for (
      let match;
      (match = /^--([a-z-]+)=(\S+)\s+/.exec(body));
      body = body.slice(match[0].length)
    )
      flags[match[1]!] = match[2]!;
    if (name === "FROM") {
      const [image = "", as, stage] = body.split(/\s+/);
      stages.push({ image, name: as === "AS" ? stage : undefined, instructions: [] });
      continue;
    }
    // HEALTHCHECK has another instruction inside
    if (name === "HEALTHCHECK") body = body.replace(/^CMD\s+/, "");
    const args = body.startsWith("[") ? (JSON.parse(body) as string[]) : [body];
    const stage = stages.at(-1);
    if (!stage) throw new Error(`before FROM: ${line}`);
    stage.instructions.push({ name, args, flags });
  }
  return stages;
}

const known: ReadonlySet<string> = new Set(
  "FROM RUN CMD LABEL EXPOSE ENV ADD COPY ENTRYPOINT VOLUME USER WORKDIR ARG STOPSIGNAL HEALTHCHECK".split(
    " ",
  ),
);
