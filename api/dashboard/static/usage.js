// Days that are chosen are the period, without saying so once more.
"use strict";

const chosen = document.getElementById("usage");
chosen.addEventListener("input", (event) => {
  if (event.target.type === "date") chosen.elements.period.value = "days";
});
