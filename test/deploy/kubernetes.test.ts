/** deploy/kubernetes: every manifest against the schemas of Kubernetes, all of them against each other, and the container's command run here. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { findNode } from "../../src/node.ts";
import { certificate } from "../fixtures/certificates.ts";
import { temporaryFolder } from "../fixtures/files.ts";
import { root, testPython } from "../fixtures/serve.ts";
import { onLoopback, probed, started } from "./started.ts";

const kubectl = "kubectl";
const folder = join(root, "deploy", "kubernetes");
const read = (file: string): any => parse(readFileSync(join(folder, file), "utf8"));
const names = readdirSync(folder).filter(
  (file) => file.endsWith(".yaml") && !["kustomization.yaml", "stream.yaml"].includes(file),
);
const kustomization = read("kustomization.yaml");
const set = read("stateful-set.yaml");
const service = read("service.yaml");
const pod = set.spec.template.spec;
const [container] = pod.containers;
const args: readonly string[] = container.args;
const page = readFileSync(join(root, "docs", "deploy.md"), "utf8");

describe("manifests", () => {
  test("are those of the kustomization", () => {
    expect(new Set(kustomization.resources)).toEqual(new Set(names));
    expect(kustomization.images[0].name).toBe(container.image);
    expect(kustomization.configMapGenerator[0].files).toEqual(["stream.yaml"]);
  });

  // Oldest and newest that are to be served; the schemas come with the package.
  test.each(["1.30", "1.37"])("are valid for Kubernetes %s, to the last key", (version) => {
    const files = names.map((file) => join(folder, file));
    const given = ["-m", "kubernetes_validate", "--strict", "-k", version, ...files];
    const { status, stdout, stderr } = spawnSync(testPython(), given, { encoding: "utf8" });
    expect({ status, stderr }, stdout).toMatchObject({ status: 0 });
    expect(stdout.match(/passed for resource/g)).toHaveLength(names.length);
  });

  test("that check finds a wrong key", () => {
    const wrong = temporaryFolder({
      "wrong.yaml": readFileSync(join(folder, "service.yaml"), "utf8").replace(
        "clusterIP",
        "clusterIp",
      ),
    });
    const given = ["-m", "kubernetes_validate", "--strict", join(wrong, "wrong.yaml")];
    expect(spawnSync(testPython(), given).status).not.toBe(0);
  });

  test("fit each other", () => {
    const labels = { "app.kubernetes.io/name": "ssl-r1" };
    expect(kustomization.labels[0].pairs).toEqual(labels);
    expect(set.spec.template.metadata.labels).toEqual(labels);
    for (const selector of [
      set.spec.selector.matchLabels,
      service.spec.selector,
      read("disruption-budget.yaml").spec.selector.matchLabels,
      read("network-policy.yaml").spec.podSelector.matchLabels,
      pod.topologySpreadConstraints[0].labelSelector.matchLabels,
    ])
      expect(selector).toEqual(labels);
    expect(set.spec.serviceName).toBe(service.metadata.name);
    expect(service.spec.clusterIP).toBe("None");
    expect(pod.serviceAccountName).toBe(read("service-account.yaml").metadata.name);
    const ports = Object.fromEntries(
      container.ports.map(({ name, containerPort }: any) => [name, containerPort]),
    );
    expect(ports).toEqual({ stream: 7531, http: 9531 });
    for (const { port, targetPort } of service.spec.ports) expect(ports[targetPort]).toBe(port);
    const allowed = read("network-policy.yaml").spec.ingress.map((rule: any) => rule.ports[0].port);
    expect(allowed).toEqual([ports["stream"], ports["http"]]);
    const mounted = container.volumeMounts.map(({ name }: any) => name);
    expect(new Set(mounted)).toEqual(new Set(pod.volumes.map(({ name }: any) => name)));
    expect(pod.volumes.find(({ configMap }: any) => configMap).configMap.name).toBe(
      kustomization.configMapGenerator[0].name,
    );
  });

  test("pods know how many they are, as a loader finds it", () => {
    const environment = Object.fromEntries(
      container.env.map(({ name, value }: any) => [name, value]),
    );
    for (let index = 0; index < set.spec.replicas; index++)
      expect(findNode(environment, `${set.metadata.name}-${index}`)).toMatchObject({
        index,
        count: set.spec.replicas,
      });
    expect(() => findNode(environment, `${set.metadata.name}-${set.spec.replicas}`)).toThrow(
      "SSL_R1_NODES",
    );
  });

  test("keep the rules of the restricted pod security standard", () => {
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      seccompProfile: { type: "RuntimeDefault" },
    });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(Object.keys(pod)).not.toContain("hostNetwork");
    const kinds = pod.volumes.flatMap((volume: any) => Object.keys(volume));
    for (const kind of kinds) expect(["name", "configMap", "secret", "emptyDir"]).toContain(kind);
    // readable by the group of the pod alone
    for (const { secret } of pod.volumes.filter((volume: any) => volume.secret))
      expect(secret.defaultMode).toBe(0o440);
  });

  test("draining fits into the time there is for an end", () => {
    const seconds = Number(/--drain-timeout=(\d+)/.exec(args.join(" "))![1]);
    const slept = Number(/sleep (\d+)/.exec(container.lifecycle.preStop.exec.command[2])![1]);
    expect(slept).toBeGreaterThan(seconds);
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(slept);
  });

  test("every secret is made on the page", () => {
    const secrets = JSON.stringify(pod).matchAll(
      /"secret(?:Name|KeyRef)":(?:\{"name":)?"([\w-]+)"/g,
    );
    const found = [...secrets].map(([, name]) => name!);
    expect(new Set(found)).toEqual(new Set(["ssl-r1-tls", "ssl-r1-token", "ssl-r1-hub"]));
    for (const name of found)
      expect(page).toMatch(new RegExp(`kubectl create secret \\w+ ${name} `));
  });

  test("kubectl makes one set of them, also with a cache that stays, where there is a kubectl", () => {
    const own = temporaryFolder();
    mkdirSync(join(own, "deploy"));
    spawnSync("cp", ["-r", folder, join(own, "deploy", "kubernetes")]);
    mkdirSync(join(own, "deploy", "mine"));
    const component = read("kept-cache/kustomization.yaml");
    const lines = readFileSync(join(folder, "kept-cache", "kustomization.yaml"), "utf8").match(
      /^#   .*$/gm,
    )!;
    writeFileSync(
      join(own, "deploy", "mine", "kustomization.yaml"),
      lines.join("\n").replaceAll("#   ", ""),
    );
    expect(component.patches[0].target.name).toBe(set.metadata.name);
    const made = spawnSync(kubectl, ["kustomize", join(own, "deploy", "mine")], {
      encoding: "utf8",
    });
    if (made.error) return;
    expect(made.stderr).toBe("");
    const kinds = made.stdout.split(/^---$/m).map((text) => parse(text));
    expect(kinds).toHaveLength(names.length + 1);
    const kept = kinds.find(({ kind }) => kind === "StatefulSet");
    expect(kept.spec.template.spec.volumes.map(({ name }: any) => name)).not.toContain("cache");
    expect(kept.spec.volumeClaimTemplates[0].metadata.name).toBe("cache");
    const file = join(own, "all.yaml");
    writeFileSync(file, made.stdout);
    const given = ["-m", "kubernetes_validate", "--strict", file];
    expect(spawnSync(testPython(), given).status).toBe(0);
  });
});

test("the container's command serves and answers its probes; preStop's signal ends it", async () => {
  const own = temporaryFolder({ token: "secret\n" });
  const { cert, key } = certificate("loader", { hosts: ["127.0.0.1"] });
  writeFileSync(join(own, "tls.crt"), cert);
  writeFileSync(join(own, "tls.key"), key, { mode: 0o600 });
  // its own stream, but for the data, and with fewer threads than the machine of the tests could give
  const stream = { ...read("stream.yaml"), source: join(root, "shards"), workers: 1 };
  writeFileSync(join(own, "stream.yaml"), JSON.stringify(stream));
  const given = onLoopback(args).map((arg) =>
    arg.replace(/=\/(run|etc)\/ssl-r1\/(tls\/|token\/)?/, `=${own}/`),
  );
  const loader = await started([...given, `--node=1/${set.spec.replicas}`]);
  expect(loader.listening).toMatch(/^tls:\/\/127\.0\.0\.1:\d+$/);
  expect(loader.node).toBe(`1/${set.spec.replicas}`);
  for (const probe of ["livenessProbe", "readinessProbe"]) {
    const { path, port } = container[probe].httpGet;
    expect(port).toBe("http");
    await probed(loader, path);
  }
  await probed(loader, set.spec.template.metadata.annotations["prometheus.io/path"]);
  const [, signal] = /kill -(\w+) 1/.exec(container.lifecycle.preStop.exec.command[2])!;
  expect(await loader.end(`SIG${signal}` as NodeJS.Signals)).toBe(0);
});
