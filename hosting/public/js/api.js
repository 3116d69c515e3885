// The client of the service's API.

import { appCheckHeader } from "./app-check.js";
import { currentSession, expire } from "./session.js";

/** A request that failed. `status` is 0 if there was no response of the service. */
export class ServiceError extends Error {
  constructor(status, detail, { type = "", field = null, retryAfter = null } = {}) {
    super(detail);
    Object.assign(this, { status, type, field, retryAfter });
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

export const listJobs = async () => (await send("/exports")).body;

export const getJob = async (id) => (await send(pathOf(id))).body;

export const getExport = async (id, exportId) => (await send(`${pathOf(id)}/history/${encodeURIComponent(exportId)}`)).body;

export const cancelExport = async (id, exportId) =>
  (await send(`${pathOf(id)}/cancel`, { body: { export_id: exportId } })).body;

/** What an export would make. `signal` ends the request. */
export const planExport = async (request, signal) => (await send("/plans", { body: request, signal })).body;

/** A page of a job's exports, the newest first. */
export async function getHistory(id, pageToken) {
  const query = new URLSearchParams({ page_size: 10, ...(pageToken && { page_token: pageToken }) });
  return (await send(`${pathOf(id)}/history?${query}`)).body;
}

/**
 * Starts an export, and returns how many more may run and start, as far as the service says. The same request with the same
 * key starts one export.
 */
export async function startExport(request, key) {
  const { headers } = await send("/exports", { body: request, headers: { "Idempotency-Key": key } });
  // as in `"running";r=2, "daily";r=49;t=86400`
  const left = (name) => headers.get("RateLimit")?.match(new RegExp(`"${name}";r=(\\d+)`))?.[1];
  return { running: left("running"), daily: left("daily") };
}

const pathOf = (id) => `/exports/${encodeURIComponent(id)}`;

async function send(path, { body, headers = {}, signal } = {}) {
  const session = currentSession();
  const app = await appCheckHeader().catch(() => {
    throw new ServiceError(0, "This page could not be verified. Reload it, or allow reCAPTCHA.");
  });
  const token = await session?.token().catch((problem) => {
    if (problem.code !== "auth/network-request-failed") {
      expire();
      throw new ServiceError(401, "Your sign-in has expired. Sign in again.");
    }
    throw new ServiceError(0, "Your sign-in could not be renewed. Check your connection.");
  });
  const sent = await fetch(path, {
    method: body ? "POST" : "GET",
    headers: { Authorization: `Bearer ${token}`, ...(body && { "Content-Type": "application/json" }), ...app, ...headers },
    body: body && JSON.stringify(body),
    signal,
  }).catch((error) => {
    if (error.name === "AbortError") {
      throw error;
    }
    throw new ServiceError(0, "The service cannot be reached. Check your connection.");
  });
  const answer = await sent.json().catch(() => null);
  if (!sent.ok) {
    const problem = new ServiceError(sent.status, answer?.detail ?? `The service returned status ${sent.status}.`, {
      type: answer?.type,
      field: answer?.field,
      retryAfter: Number(sent.headers.get("Retry-After")) || null,
    });
    if (problem.status === 401 && !problem.type.endsWith(":unverified-app") && session === currentSession()) {
      expire();
    }
    throw problem;
  }
  if (answer === null) {
    throw new ServiceError(0, "The answer did not come from the service. Check whether this network asks you to sign in.");
  }
  return { body: answer, headers: sent.headers };
}
