// The files of a job: those of its latest export, links to what earlier ones made, and those of any export.

import { getExport, getJob } from "./api.js";
import { element, setText } from "./dom.js";
import { exportKind } from "./format.js";
import { artifacts } from "./use.js";

const TYPES = ["adapter", "merged", "gguf"];

export class JobFiles {
  constructor(job, title) {
    Object.assign(this, { job, title });
    this.latest = element("div", { class: "files" });
    this.earlier = element("div", { class: "earlier" });
  }

  /** Draws the files of the latest export, and what earlier ones `made`: again only if they differ. */
  draw(latest, made) {
    const key = JSON.stringify([latest?.export_id, latest?.status, (latest?.artifacts ?? []).length, made.hf, Object.values(made.file).map(Boolean)]);
    if (key === this.drawn) {
      return;
    }
    this.drawn = key;
    const job = { title: this.title, base: this.job.base_model_id };
    const hasEnded = latest && latest.status !== "running";
    this.latest.replaceChildren(...(hasEnded ? artifacts(job, latest, (file) => this.openFile(file)) : []));
    const links = TYPES.map((type) => this.earlierLinks(type, latest, made)).filter(Boolean);
    this.earlier.replaceChildren(...(links.length > 0 ? [element("h4", {}, "From earlier exports")] : []), ...links);
  }

  /** Links to the type's file and repository, unless they are the latest export's; null where there are none. */
  earlierLinks(type, latest, { file, hf }) {
    const url = hasMade(latest, type, "file") ? null : file[type];
    const repo = hasMade(latest, type, "hf") ? null : hf[type];
    if (!url && !repo) {
      return null;
    }
    const name = exportKind({ type });
    const problem = element("span", { class: "bad", role: "alert" });
    const link = url && element("a", { href: url, "aria-label": `Download ${name}` }, `↓ ${name}`);
    const page = repo && element("a", { href: `https://huggingface.co/${repo}`, rel: "noreferrer" }, `${name} on the Hub: ${repo}`);
    link?.addEventListener("click", async (event) => {
      event.preventDefault();
      await this.open((detail) => detail.artifacts.file[type]).catch((error) => (problem.textContent = ` ${error.message}`));
    });
    return element("p", {}, link, " ", page, problem);
  }

  openFile(file) {
    return this.open(({ latest_export: latest }) => linkOf(latest, file));
  }

  async open(find) {
    await openLink(find(await getJob(this.job.job_id)));
  }
}

/** The files of an export of a job, which are requested when they are displayed. `when` tells them from those of other exports. */
export function exportFiles({ job, title, when }, exportId) {
  const request = () => getExport(job.job_id, exportId);
  const open = async (file) => openLink(linkOf(await request(), file));
  const status = element("p", { role: "status" });
  const content = element("div", { class: "files" });
  const root = element("details", { class: "commands" }, element("summary", {}, "Files and commands"), status, content);
  root.addEventListener("toggle", async () => {
    if (!root.open || content.children.length > 0) {
      return;
    }
    setText(status, "Loading…");
    try {
      content.replaceChildren(...artifacts({ title, base: job.base_model_id, when }, await request(), open));
      setText(status, "");
    } catch (problem) {
      setText(status, problem.message);
    }
  });
  return root;
}

/** The link to a file in an export as it was just requested. */
const linkOf = (one, { sha256, name }) =>
  (one?.artifacts ?? []).flatMap(({ files }) => files).find((file) => file.sha256 === sha256 && file.name === name)?.link;

/**
 * Opens a link that was just made, because it is valid for 15 minutes. It is a tab of its own, because the file may be gone: storage of
 * another origin does not tell the page.
 */
async function openLink(link) {
  const gone = new Error("This file no longer exists. Export it again.");
  if (!link) {
    throw gone;
  }
  if (new URL(link, window.location.href).origin === window.location.origin) {
    const first = await fetch(link, { headers: { Range: "bytes=0-0" } }).catch(() => null);
    await first?.body?.cancel();
    if (first?.status === 404) {
      throw gone;
    }
  }
  element("a", { href: link, target: "_blank", rel: "noopener noreferrer" }).click();
}

/** Whether that artifact of the job is of its latest export. An adapter as GGUF is not the job's GGUF. */
const hasMade = (latest, type, variant) =>
  latest?.status === "completed" && latest.gguf_kind !== "lora"
  && latest.artifacts.some((artifact) => artifact.type === type && artifact.variant === variant);
