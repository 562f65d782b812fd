// A job's text as it comes. A connection that breaks is made again, and the text goes on from where it was.
"use strict";

const place = document.getElementById("answer");
const state = document.getElementById("stream-state");

// What is shown of one choice: turns of text, thoughts and calls, in the order in which they came.
class Choice {
  constructor(number) {
    this.turn = make("article", "turn");
    this.title = make("p", "who", "answer");
    this.turn.append(this.title);
    this.number = number;
    this.last = null;
    this.said = null;
  }

  add(kind, text, name) {
    if (this.last !== kind) this.begin(kind, name);
    this.last = kind;
    this.said.append(text);
  }

  begin(kind, name) {
    if (kind === "text") {
      this.said = make("div", "said");
      this.turn.append(this.said);
      return;
    }
    const isThought = kind === "thought";
    const block = make("div", isThought ? "thought" : "call");
    const what = make("p", "what", isThought ? "Thoughts" : "Calls ");
    if (!isThought) what.append(make("span", "mono", name));
    this.said = make(isThought ? "div" : "pre", "said");
    block.append(what, this.said);
    this.turn.append(block);
  }
}

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

class Stream {
  constructor(job) {
    this.job = job;
    this.after = null;
    this.tries = 0;
    this.choices = new Map();
    this.open();
  }

  open() {
    const from = this.after === null ? "" : `?after=${encodeURIComponent(this.after)}`;
    this.source = new EventSource(`/api/v1/jobs/${this.job}/stream${from}`);
    this.source.onmessage = (event) => this.take(event);
    this.source.onerror = () => this.again();
  }

  // Not left to the event source: it gives up on answers such as a 503.
  again() {
    this.source.close();
    this.tries += 1;
    state.textContent = "The connection broke; the text goes on as soon as there is another";
    setTimeout(() => this.open(), Math.min(500 * this.tries, 5000));
  }

  take(event) {
    this.tries = 0;
    if (event.data === "[DONE]") return this.end();
    const told = JSON.parse(event.data);
    if (told.error === "stream_lost") return this.beginAnew(told.message);
    if (told.error !== undefined) return this.end();
    this.after = event.lastEventId;
    state.textContent = "Live";
    this.show(told);
  }

  show(told) {
    const choice = this.choice(told.choice || 0);
    if (told.text !== undefined) choice.add("text", told.text);
    if (told.reasoning !== undefined) choice.add("thought", told.reasoning);
    for (const call of told.tool_calls || []) {
      if (call.name !== undefined) this.names = { ...this.names, [call.id]: (this.names?.[call.id] || "") + call.name };
      if (call.arguments !== undefined) choice.add(`call ${call.id}`, call.arguments, this.names?.[call.id] || "");
    }
  }

  choice(number) {
    if (!this.choices.has(number)) {
      const choice = new Choice(number);
      this.choices.set(number, choice);
      place.append(choice.turn);
      if (this.choices.size > 1) for (const each of this.choices.values()) each.title.textContent = `answer ${each.number + 1}`;
    }
    return this.choices.get(number);
  }

  beginAnew(why) {
    this.source.close();
    this.after = null;
    this.choices.clear();
    place.replaceChildren(make("p", "notice busy", why));
    this.open();
  }

  // What was streamed gives way to what is kept, and the page says how it ended.
  end() {
    this.source.close();
    state.textContent = "";
    htmx.ajax("GET", `/jobs/${this.job}/answer`, { target: "#answer", swap: "innerHTML" });
    htmx.ajax("GET", `/jobs/${this.job}/now`, { target: "#now", swap: "outerHTML" });
  }
}

if (place.dataset.job) new Stream(place.dataset.job);
