// The Playground: what the form asks for, a conversation that is streamed, and a connection that is cut and mended.

import { ask, Broken, JobStream, Refused } from "./stream.js";
import { languages } from "./snippets.js";

const CUT_MS = 2000;
const MOST_SAFE = Number.MAX_SAFE_INTEGER;
const at = (id) => document.getElementById(id);
const form = at("playground");

// One exchange is what was said by who asks (or by tools), and what was answered; without an answer it did not happen.
let exchanges = [];
let running = null;

// What is asked for -------------------------------------------------------------------------------------------------

class Wrong extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

function numberOf(input) {
  const text = input.value.trim();
  const number = Number(text);
  if (Number.isInteger(number) && Math.abs(number) > MOST_SAFE) throw new Wrong(input, "has too many digits for a browser");
  return text === "" ? undefined : Number.isNaN(number) ? text : number; // The API says what is wrong with it.
}

function jsonOf(input) {
  if (input.value.trim() === "") return undefined;
  try {
    return JSON.parse(input.value);
  } catch (error) {
    throw new Wrong(input, `is not JSON: ${error.message}`);
  }
}

function toolsOf(input) {
  const tools = jsonOf(input);
  if (tools !== undefined && !Array.isArray(tools)) throw new Wrong(input, "has to be a list of tools, in [ ]");
  return tools;
}

function formatOf() {
  const type = at("format").value;
  if (type !== "json_schema") return type ? { type } : undefined;
  const schema = jsonOf(at("schema"));
  if (schema === undefined) throw new Wrong(at("schema"), "is required");
  return { type, json_schema: { name: "answer", schema } };
}

// The body of a job. Throws Wrong for what no request can say.
function request(said) {
  const system = at("system").value.trim() ? [{ role: "system", content: at("system").value }] : [];
  const earlier = exchanges.flatMap((each) => (each.answer ? [...each.said, each.answer] : []));
  const body = { model: at("model").value, messages: [...system, ...earlier, ...said] };
  for (const input of form.querySelectorAll(".as-number")) body[input.name] = numberOf(input);
  const stops = at("stop_strings").value.split("\n").filter((line) => line !== "");
  if (stops.length) body.stop = stops;
  for (const name of ["reasoning_effort", "tool_choice"]) body[name] = at(name).value || undefined;
  body.tools = toolsOf(at("tools"));
  body.response_format = formatOf();
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}

// What is to be sent next: what the tools gave that the last answer calls, then the message.
function nextSaid() {
  const results = [...form.querySelectorAll(".turn:last-child textarea.result")];
  const given = results.map((field) => ({ role: "tool", tool_call_id: field.dataset.call, content: field.value }));
  const message = at("message").value;
  return message.trim() || !given.length ? [...given, { role: "user", content: message }] : given;
}

function checked() {
  const missing = [...form.querySelectorAll(".turn:last-child textarea.result")].find((field) => !field.value.trim());
  if (missing) throw new Wrong(missing, "is required: the model waits for it");
  const said = nextSaid();
  if (said.at(-1).content.trim() === "") throw new Wrong(at("message"), "is empty");
  return said;
}

// What is wrong, at its field ---------------------------------------------------------------------------------------

function clearProblems() {
  at("refused").hidden = true;
  for (const problem of form.querySelectorAll(".problem")) problem.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-errormessage");
  }
}

function tellAt(field, message) {
  for (let place = field.closest("details"); place; place = place.parentElement.closest("details")) place.open = true;
  const problem = Object.assign(document.createElement("span"), { className: "problem", textContent: message });
  problem.id = `${field.id}-problem`;
  problem.setAttribute("role", "alert");
  field.closest(".field").append(problem);
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-errormessage", problem.id);
  field.focus();
}

const FIELD_OF_CODE = { model_not_found: "model", no_capacity: "model", context_length_exceeded: "message" };
const FIELD_OF_NAME = { stop: "stop_strings", messages: "message", response_format: "format", json_schema: "schema" };

// The field that a refusal names first, such as in `tools[0].function: is required`.
function fieldOf(refused) {
  const name = /^([a-z_]+)[^:]*: /.exec(refused.message)?.[1];
  if (name === "messages" && /^messages\[0\]/.test(refused.message) && at("system").value.trim()) return at("system");
  if (name === "response_format" && at("format").value === "json_schema") return at("schema");
  const found = at(FIELD_OF_NAME[name] ?? name ?? "") ?? at(FIELD_OF_CODE[refused.code] ?? "");
  return found && form.contains(found) && found.closest(".field") ? found : null;
}

function inWords(error) {
  if (error instanceof Broken) return "The server cannot be reached";
  return error.status === 401 ? "The session is over: load this page to sign in again" : error.message;
}

function tell(error) {
  if (error instanceof Wrong) return tellAt(error.field, error.message);
  const field = error instanceof Refused ? fieldOf(error) : null;
  if (field) return tellAt(field, error.message);
  at("refused").textContent = inWords(error);
  at("refused").hidden = false;
}

// The conversation, as it is seen -----------------------------------------------------------------------------------

function turn(template, who) {
  const shown = at(template).content.cloneNode(true).firstElementChild;
  shown.querySelector("h3").textContent = who;
  at("turns").append(shown);
  return shown;
}

function showAsked(message) {
  const shown = turn("asked-turn", "You");
  shown.querySelector(".text").textContent = message.content;
  return shown;
}

// An answer as it grows: its parts, the figures below them, and what became of the connection.
class AnswerShown {
  constructor(model) {
    this.shown = turn("answer-turn", model);
    this.figures = [];
    this.begun_ms = performance.now();
    this.first_ms = null;
    this.last_ms = null;
    this.figure("waits for the first text");
  }

  part(name) {
    return this.shown.querySelector(name);
  }

  figure(...texts) {
    this.part(".figures").replaceChildren(...texts.map((text) => {
      const item = document.createElement("li");
      item.append(text);
      return item;
    }));
  }

  happened(text) {
    const item = Object.assign(document.createElement("li"), { textContent: text });
    this.part(".happened").append(item);
  }

  said(answered, position) {
    this.last_ms = performance.now();
    this.first_ms ??= this.last_ms;
    const { content, reasoning, tool_calls: calls } = answered.choice(0);
    this.part(".text").textContent = content;
    this.part(".text").hidden = !content;
    this.part(".thoughts").hidden = !reasoning;
    this.part(".thoughts .thought").textContent = reasoning;
    calls.forEach((call, index) => this.call(call, index));
    this.figure(this.firstText(), `${position.toLocaleString()} characters`);
  }

  call(call, index) {
    const place = this.part(".calls");
    if (!place.children[index]) place.append(at("called").content.cloneNode(true).firstElementChild);
    place.children[index].querySelector(".function").textContent = call.function.name;
    place.children[index].querySelector(".arguments").textContent = call.function.arguments;
  }

  // Where what each tool gave is to be filled in.
  askForResults(calls) {
    calls.forEach((call, index) => {
      const field = at("result-field").content.cloneNode(true).firstElementChild;
      const [label, input] = [field.querySelector("label"), field.querySelector("textarea")];
      input.id = label.htmlFor = `result-${exchanges.length}-${index}`;
      input.dataset.call = call.id;
      label.textContent = `Result of ${call.function.name}`;
      this.part(".calls").children[index].append(field);
    });
  }

  firstText() {
    return this.first_ms === null ? "no text" : `first text after ${Math.round(this.first_ms - this.begun_ms).toLocaleString()} ms`;
  }

  // Of several events, the speed from the first on; of one, that of the whole.
  speed(tokens) {
    const ms = this.last_ms > this.first_ms ? this.last_ms - this.first_ms : this.last_ms - this.begun_ms;
    const speed = `${(tokens / ms * 1000).toLocaleString(undefined, { maximumFractionDigits: 1 })} tokens/s`;
    return this.part(".happened").children.length ? `${speed}, with the cut` : speed;
  }

  ended(job, end) {
    const { usage, finish_reason: reason } = job.result ?? {};
    const figures = [this.firstText()];
    if (usage) {
      figures.push(this.speed(usage.completion_tokens));
      figures.push(`${usage.prompt_tokens.toLocaleString()} tokens of prompt, ${usage.completion_tokens.toLocaleString()} of answer`);
    }
    figures.push(`ended: ${reason ?? end.error}`);
    const link = Object.assign(document.createElement("a"), { href: `/jobs/${job.id}`, textContent: job.id, className: "mono" });
    this.figure(...figures, link);
    if (end.error && end.error !== "cancelled") this.failed(end.message);
  }

  compared(isEqual) {
    const verdict = this.part(".compared");
    verdict.textContent = isEqual
      ? "Compared with the job's result: equal. No character is missing or doubled."
      : "Compared with the job's result: they differ.";
    verdict.classList.add(isEqual ? "good" : "bad");
    verdict.hidden = false;
  }

  failed(message) {
    const notice = this.part(".failure");
    notice.textContent = message;
    notice.hidden = false;
  }
}

// Sending, stopping, cutting ----------------------------------------------------------------------------------------

class Run {
  constructor(shown) {
    this.shown = shown;
    this.isStopped = false;
    this.stream = new JobStream((kind, position) => this.heard(kind, position));
  }

  heard(kind, position) {
    if (kind === "said") {
      this.shown.said(this.stream.answered, position);
      this.cutIfAsked();
    }
    if (kind === "cut") this.shown.happened(`connection cut at character ${position.toLocaleString()}`);
    if (kind === "lost") this.shown.happened(`connection lost at character ${position.toLocaleString()}; trying again`);
    if (kind === "resumed") this.shown.happened(`resumed at character ${position.toLocaleString()}`);
  }

  // What there is no text of yet cannot be seen to go on.
  cutIfAsked() {
    if (!at("cut").checked || !this.stream.position) return;
    this.stream.cut();
    clearTimeout(this.mending);
    this.mending = setTimeout(() => this.mend(), CUT_MS);
  }

  mend() {
    clearTimeout(this.mending);
    at("cut").checked = false;
    this.stream.resume();
  }

  // Nobody knows of the job before it was accepted.
  async stop() {
    this.isStopped = true;
    if (this.stream.jobId) await this.cancel();
  }

  async cancel() {
    this.mend();
    try {
      await ask(`/jobs/${this.stream.jobId}/cancel`, { method: "POST" });
    } catch (error) {
      if (error.code !== "conflict") tell(error); // It has ended already.
    }
  }

  // The answer as the next request tells it; null where nothing was said.
  async read(body) {
    const end = await this.stream.submit(body, () => this.isStopped && this.cancel());
    const job = await (await ask(`/jobs/${this.stream.jobId}`)).json();
    this.shown.ended(job, end);
    if (job.result) this.shown.compared(this.stream.answered.equals(job.result));
    const { content, tool_calls: calls } = this.stream.answered.choice(0);
    if (calls.length) this.shown.askForResults(calls);
    if (!content && !calls.length) return null;
    return calls.length ? { role: "assistant", content: content || null, tool_calls: calls } : { role: "assistant", content };
  }
}

function setRunning(run) {
  running = run;
  form.querySelector("[type=submit]").disabled = Boolean(run);
  at("stop").disabled = !run;
  at("new").disabled = Boolean(run) || !exchanges.length;
  at("turns").setAttribute("aria-busy", String(Boolean(run)));
}

async function send() {
  if (running) return;
  clearProblems();
  let said, body;
  try {
    said = checked();
    body = request(said);
  } catch (error) {
    return tell(error);
  }
  const typed = at("message").value;
  const results = form.querySelectorAll(".turn:last-child textarea.result");
  const asked = said.filter((each) => each.role === "user").map(showAsked);
  const shown = new AnswerShown(body.model);
  const run = new Run(shown);
  at("message").value = "";
  setRunning(run);
  shown.shown.scrollIntoView({ block: "nearest" });
  try {
    exchanges.push({ said, answer: await run.read(body) });
    for (const each of results) each.readOnly = true;
  } catch (error) {
    if (run.stream.jobId) {
      shown.failed(error.message);
    } else { // There is no job: all is as it was before.
      for (const each of [...asked, shown.shown]) each.remove();
      at("message").value = typed;
    }
    tell(error);
  } finally {
    clearTimeout(run.mending);
    setRunning(null);
    write();
  }
}

function startAnew() {
  exchanges = [];
  at("turns").replaceChildren();
  clearProblems();
  setRunning(null);
  at("message").focus();
  write();
}

// The same as a program ---------------------------------------------------------------------------------------------

function write() {
  try {
    at("code").textContent = languages[at("language").value](request(nextSaid()), location.origin);
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    at("code").textContent = `${form.querySelector(`label[for="${error.field.id}"]`).textContent} ${error.message}`;
  }
}

const EXAMPLE = [{
  type: "function",
  function: {
    name: "get_capital",
    description: "Get the capital of a country.",
    parameters: { type: "object", properties: { country: { type: "string" } }, required: ["country"] },
  },
}];

if (form) {
  form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  form.addEventListener("input", write);
  form.addEventListener("change", (event) => {
    at("schema-field").hidden = at("format").value !== "json_schema";
    if (!event.target.classList.contains("as-json")) return;
    clearProblems();
    try {
      (event.target.id === "tools" ? toolsOf : jsonOf)(event.target);
    } catch (error) {
      tell(error);
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); }
  });
  at("stop").addEventListener("click", () => running?.stop());
  at("new").addEventListener("click", startAnew);
  at("cut").addEventListener("change", () => (at("cut").checked ? running?.cutIfAsked() : running?.mend()));
  at("example").addEventListener("click", () => { at("tools").value = JSON.stringify(EXAMPLE, null, 2); write(); });
  at("language").addEventListener("change", write);
  write();
}
