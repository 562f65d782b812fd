// What all pages do: times in the reader's own zone, pauses while nobody looks, dialogs, copying, and telling of errors.
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
  const isPoll = (event.target.getAttribute("hx-trigger") || "").startsWith("every");
  if (isPoll && event.detail.elt === event.target && (document.hidden || event.target.querySelector("dialog[open]"))) {
    event.preventDefault();
  }
});

document.addEventListener("htmx:afterSwap", (event) => localTimes(event.detail.target));
document.addEventListener("htmx:responseError", (event) => {
  const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  announce(page.querySelector("[role=alert]")?.textContent || "That did not work");
});
document.addEventListener("htmx:sendError", () => announce("The server cannot be reached"));

localTimes(document);
