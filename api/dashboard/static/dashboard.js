// What all pages do: times in the reader's own zone, pauses while nobody looks, dialogs, copying, and telling of
// errors and of what is not up to date.
"use strict";

const inWords = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
    time.title = time.textContent;
    time.textContent = inWords.format(new Date(time.dateTime));
    time.dataset.local = "";
  }
}

function announce(text) {
  const place = document.getElementById("announcement");
  place.textContent = text;
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => { place.textContent = ""; }, 6000);
}

async function copy(button) {
  const text = document.getElementById(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS, browsers lend the clipboard to what is selected only.
    const range = document.createRange();
    range.selectNodeContents(document.getElementById(button.dataset.copy));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
  }
  announce("Copied");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.copy) copy(button);
  if (button.dataset.opens) document.getElementById(button.dataset.opens).showModal();
  if ("closes" in button.dataset) button.closest("dialog").close();
});

// A list that is loaded again and again would take an open dialog away, and is of no use while nobody sees it.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (isPoll(event) && (document.hidden || event.target.querySelector("dialog[open]"))) event.preventDefault();
});

function isPoll({ target, detail }) {
  return detail.elt === target && (target.getAttribute("hx-trigger") || "").startsWith("every");
}

// What could not be loaded again stays as it was, and is said to be of then until it can.
const timeOfDay = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const stale = document.getElementById("stale");
let toldAt = new Date();

function upToDate() {
  toldAt = new Date();
  stale.hidden = true;
}

function outOfDate(why) {
  const text = `${why}. What is shown is of ${timeOfDay.format(toldAt)}; it goes on by itself.`;
  if (!stale.hidden && stale.textContent === text) return; // it is not to be read out again and again
  stale.textContent = text;
  stale.hidden = false;
}

function failed(event, why) {
  if (isPoll(event)) outOfDate(why);
  else announce(why);
}

// Whoever has asked for something that takes long is told that it is under way.
const WORKING = "Working";
const LONG_MS = 1000;
const underWay = new Map();

document.addEventListener("htmx:beforeSend", (event) => {
  if (!isPoll(event)) underWay.set(event.detail.xhr, setTimeout(announce, LONG_MS, WORKING));
});
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  clearTimeout(underWay.get(detail.xhr));
  underWay.delete(detail.xhr);
  if (!underWay.size && document.getElementById("announcement").textContent === WORKING) announce("");
});

document.addEventListener("htmx:afterSwap", (event) => localTimes(event.detail.target));
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful && isPoll(event)) upToDate();
});
document.addEventListener("htmx:responseError", (event) => {
  const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  failed(event, page.querySelector("[role=alert]")?.textContent || "That did not work");
});
document.addEventListener("htmx:sendError", (event) => failed(event, "The server cannot be reached"));
document.addEventListener("htmx:timeout", (event) => failed(event, "The server does not answer"));

// A page that could not be shown is asked for until it can be.
const comesBack = document.getElementById("comes-back");
const LEAST_PAUSE_S = 2;

async function comeBack() {
  if (!document.hidden) {
    const answer = await fetch(location.href, { cache: "no-store" }).catch(() => null);
    if (answer && ![429, 502, 503, 504].includes(answer.status)) {
      location.reload();
      return;
    }
  }
  waitAndComeBack();
}

function waitAndComeBack() {
  setTimeout(comeBack, 1000 * Math.max(LEAST_PAUSE_S, Number(comesBack.dataset.after)));
}

if (comesBack) waitAndComeBack();
localTimes(document);
