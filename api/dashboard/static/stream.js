// Jobs, for who has signed in: requests to the API, a job's stream of events, and what they add up to.

const API = "/api/v1";
const TRY_AGAIN_MS = [500, 1000, 2000, 4000];

// An answer that refuses what was asked for, in the API's own words.
export class Refused extends Error {
  constructor(status, code, message, retryAfterS) {
    super(message);
    Object.assign(this, { status, code, retryAfterS });
  }

  get isPassing() {
    return this.status === 429 || this.status >= 500;
  }
}

// The connection broke, or there was none.
export class Broken extends Error {}

// Ask the API. `body` is sent as JSON. Throws Refused, and Broken.
export async function ask(path, { method = "GET", body, headers = {}, signal } = {}) {
  const sent = { ...headers, "X-CSRF-Token": JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRF-Token"] };
  if (body !== undefined) Object.assign(sent, { "Content-Type": "application/json" });
  const text = body === undefined ? undefined : JSON.stringify(body);
  const response = await orBroken(fetch(API + path, { method, body: text, headers: sent, signal, cache: "no-store" }));
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  const message = told.error_message || `The server answered with ${response.status}`;
  throw new Refused(response.status, told.error || "", message, Number(response.headers.get("Retry-After")) || 0);
}

// The events of a stream as they become whole: each one's `id`, and its `data` as text. Throws Broken.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    let rest = "";
    let event = { id: "", data: [] };
    for (;;) {
      const { done, value } = await orBroken(reader.read());
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (event.data.length) yield { id: event.id, data: event.data.join("\n") };
          event = { id: "", data: [] };
        } else if (line.startsWith("id: ")) {
          event.id = line.slice(4);
        } else if (line.startsWith("data: ")) {
          event.data.push(line.slice(6));
        } // What begins with a colon is a sign of life.
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // A connection that broke cannot be cancelled any more.
  }
}

// What a job has answered so far: of each choice the text, the thoughts, and the tools that it calls.
export class Answered {
  choices = [];

  choice(index) {
    while (this.choices.length <= index) this.choices.push({ content: "", reasoning: "", tool_calls: [] });
    return this.choices[index];
  }

  add({ text = "", reasoning = "", tool_calls = [], choice = 0 }) {
    const said = this.choice(choice);
    said.content += text;
    said.reasoning += reasoning;
    for (const { index, id, name = "", arguments: given = "" } of tool_calls) {
      const call = (said.tool_calls[index] ??= { id, type: "function", function: { name: "", arguments: "" } });
      call.function.name += name;
      call.function.arguments += given;
    }
  }

  // Whether this is to the character what the job's `result` says.
  equals(result) {
    const whole = (said) => JSON.stringify([
      said.content, said.reasoning ?? "",
      (said.tool_calls ?? []).map((call) => [call.id, call.function.name, call.function.arguments]),
    ]);
    return (result.choices ?? [result]).every((recorded, index) => whole(recorded) === whole(this.choice(index)));
  }
}

// A job's stream. Wherever its connection breaks it goes on from the last character, until the job has ended.
//
// `told` hears what happens: `said` with an event's data, `cut`, `lost` and `resumed`, each with the position: how many
// characters (Unicode code points) have been delivered.
export class JobStream {
  answered = new Answered();
  #told;
  #lastId = "";
  #connection = new AbortController();
  #held = null;

  constructor(told, jobId = "") {
    this.#told = told;
    this.jobId = jobId;
  }

  get position() {
    return Number(this.#lastId.split("-").at(-1));
  }

  // Submit a job and read its answer. Returns as `follow` does.
  async submit(body, accepted = () => {}) {
    const response = await ask("/jobs", { method: "POST", body: { ...body, stream: true }, signal: this.#connection.signal });
    this.jobId = response.headers.get("X-Job-Id");
    accepted(this.jobId);
    return this.follow(response);
  }

  // Read to the end. Returns {error, message}; without an error the job has completed. Throws Refused.
  async follow(response = null) {
    for (let failures = 0; ; failures += 1) {
      try {
        response ??= await this.#resumed();
        const end = await this.#read(response, () => { failures = 0; });
        if (end) return end;
      } catch (error) {
        if (!(error instanceof Broken) && !error.isPassing) throw error;
      }
      response = null;
      await this.#untilTheNext(failures);
    }
  }

  // Drop the connection, and make no other one before `resume`.
  cut() {
    if (this.#held) return;
    this.#held = {};
    this.#held.over = new Promise((resolve) => { this.#held.resolve = resolve; });
    this.#connection.abort();
  }

  resume() {
    this.#held?.resolve();
    this.#held = null;
  }

  async #resumed() {
    this.#connection = new AbortController();
    const headers = this.#lastId ? { "Last-Event-ID": this.#lastId } : {};
    const path = `/jobs/${encodeURIComponent(this.jobId)}/stream`;
    const response = await ask(path, { headers, signal: this.#connection.signal });
    if (this.#lastId) this.#told("resumed", this.position);
    return response;
  }

  async #read(response, progressed) {
    for await (const { id, data } of events(response)) {
      progressed();
      if (data === "[DONE]") return { error: "", message: "" };
      const event = JSON.parse(data);
      if (event.error) return event;
      this.#lastId = id;
      this.answered.add(event);
      this.#told("said", this.position, event);
      if (this.#held) return null;
    }
    return null;
  }

  async #untilTheNext(failures) {
    this.#told(this.#held ? "cut" : "lost", this.position);
    if (this.#held) return this.#held.over;
    const wait_ms = TRY_AGAIN_MS[Math.min(failures, TRY_AGAIN_MS.length - 1)];
    return new Promise((resolve) => setTimeout(resolve, wait_ms));
  }
}

async function orBroken(asked) {
  try {
    return await asked;
  } catch (error) {
    throw new Broken(error.message);
  }
}
