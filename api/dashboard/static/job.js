// The page of a job that has not ended: its text as it comes, on whichever connection.

import { JobStream } from "./stream.js";

const place = document.getElementById("answer");
const state = document.getElementById("stream-state");
const job = place.dataset.job;

const LOST = "The connection broke; the text goes on as soon as there is another";
const SILENT = "Nothing new can be told at the moment; the text goes on as soon as it can";

let mended = 0;
let told = state.textContent;

// What the stream's connection is like, and whether those who tell of the job's text answer.
function show() {
  const isSilent = Boolean(document.querySelector("#now[data-silent]"));
  const text = isSilent ? SILENT : told;
  if (state.textContent !== text) state.textContent = text;
}

function tell(what) {
  if (what === "resumed") mended += 1;
  const live = mended ? `Live; connections that broke and were mended: ${mended}` : "Live";
  told = what === "lost" ? LOST : live;
  show();
}

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

// One of the answers: texts, thoughts and calls, in the order in which they came.
class Answer {
  constructor(number) {
    this.number = number;
    this.element = make("article", "talk");
    this.element.setAttribute("aria-label", "answer");
    this.names = {};
  }

  // Of several, each says which it is.
  entitle() {
    if (!this.element.querySelector(".who")) this.element.prepend(make("p", "who", `answer ${this.number + 1}`));
  }

  add({ text, reasoning, tool_calls: calls = [] }) {
    if (text !== undefined) this.words("text", "div").append(text);
    if (reasoning !== undefined) this.words("thought", "div", "Thoughts").append(reasoning);
    for (const { id, name, arguments: given } of calls) {
      if (name !== undefined) this.names[id] = (this.names[id] ?? "") + name;
      if (given !== undefined) this.words(`call ${id}`, "pre", "Calls ", this.names[id]).append(given);
    }
  }

  // Where what is said now belongs: to what was said before, if that was of the same kind.
  words(kind, tag, title = "", name = "") {
    if (this.kind === kind) return this.last;
    this.kind = kind;
    this.last = make(tag, "words");
    const block = kind === "text" ? this.element : make("div", kind === "thought" ? "thought-of" : "call-of");
    if (title) {
      const what = make("p", "what", title);
      if (name) what.append(make("span", "mono", name));
      block.append(what);
    }
    block.append(this.last);
    if (block !== this.element) this.element.append(block);
    return this.last;
  }
}

// All answers of the job, as far as they have come.
class Answers {
  all = new Map();

  add(event) {
    this.answer(event.choice ?? 0).add(event);
  }

  answer(number) {
    if (!this.all.has(number)) {
      const answer = new Answer(number);
      this.all.set(number, answer);
      place.append(answer.element);
      if (this.all.size > 1) for (const each of this.all.values()) each.entitle();
    }
    return this.all.get(number);
  }
}

async function follow() {
  const answers = new Answers();
  const told = (what, _, event) => {
    tell(what);
    if (what === "said") answers.add(event);
  };
  return new JobStream(told, job).follow();
}

// A text that was lost with all that had it gives way to the one that the job has instead.
async function followToTheEnd() {
  let end = await follow();
  while (end.error === "stream_lost") {
    place.replaceChildren(make("p", "notice busy", end.message));
    end = await follow();
  }
}

// How it ended is told with what is kept of its text. Should this not get through, the next poll does.
function showTheEnd() {
  told = state.textContent = "";
  htmx.trigger("#now", "ended");
}

document.addEventListener("htmx:afterSettle", () => { if (told) show(); });
show();
if (job) followToTheEnd().then(showTheEnd, (refused) => { told = refused.message; show(); });
