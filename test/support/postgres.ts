// Starts one Postgres for all test files: the one at TEST_DATABASE_URL if that is set, else a Testcontainer
// if a Docker engine answers, else the embedded Postgres. A template database is migrated once, and each test
// file clones it.
import pino from "pino";
import type { TestProject } from "vitest/node";
import { connect } from "../../server/postgres/connection.js";
import { prepareDatabase } from "../../server/postgres/prepare.js";
import { temporaryDirectory } from "./directory.js";

declare module "vitest" {
  interface ProvidedContext {
    postgresUrl: string;
  }
}

const connections = 500; // a file starts several servers, and several files run at a time
export const templateName = "cortex_template";

const silent = pino({ level: "silent" });

export default async function setup(project: TestProject) {
  const postgres = (await given()) ?? (await container()) ?? (await embedded());
  const sql = connect(postgres.url, { max: 1 });
  await sql.unsafe(`drop database if exists ${templateName}`);
  await sql.unsafe(`create database ${templateName} template template0`);
  await sql.end();
  await prepareDatabase(
    databaseUrl(postgres.url, templateName),
    { waitSeconds: 30, connections: 0 },
    silent,
  );
  project.provide("postgresUrl", postgres.url);
  return postgres.stop;
}

interface Postgres {
  url: string;
  stop(): Promise<void>;
}

async function given(): Promise<Postgres | undefined> {
  const url = process.env.TEST_DATABASE_URL;
  return url ? { url, stop: async () => {} } : undefined;
}

async function container(): Promise<Postgres | undefined> {
  const { getContainerRuntimeClient } = await import("testcontainers");
  const runtime = await getContainerRuntimeClient().catch(() => undefined);
  if (!runtime) return undefined;
  const { PostgreSqlContainer } = await import("@testcontainers/postgresql");
  const container = await new PostgreSqlContainer("postgres:18")
    .withCommand(["postgres", "-c", `max_connections=${connections}`])
    .start();
  return { url: container.getConnectionUri(), stop: async () => void (await container.stop()) };
}

async function embedded(): Promise<Postgres> {
  const { startEmbedded } = await import("../../server/embedded/cluster.js");
  const directory = await temporaryDirectory();
  const log = { info: () => {}, warn: () => {} };
  const postgres = await startEmbedded(directory.path, log, connections);
  return {
    url: postgres.url,
    async stop() {
      await postgres.stop();
      await directory.remove();
    },
  };
}

/** The URL of another database of the same Postgres. */
export function databaseUrl(url: string, name: string): string {
  const other = new URL(url);
  other.pathname = `/${name}`;
  return other.href;
}
