"use strict";
(() => {
  const live = document.getElementById("live");
  const say = (text) => { live.textContent = text; };
  const key = (row, k) => {
    const cell = row.cells[k];
    const text = cell.dataset.sort ?? cell.textContent.trim();
    const number = Number(text);
    return text !== "" && !Number.isNaN(number) ? number : text.toLowerCase();
  };
  const compare = (a, b) => {
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1;
  };
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, k) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = [...body.rows];
        rows.sort((a, b) => compare(key(a, k), key(b, k)) * (up ? 1 : -1));
        body.append(...rows);
        say(`Sorted by ${button.textContent}, ${up ? "ascending" : "descending"}`);
      });
    });
  }
  for (const table of document.querySelectorAll("table[data-filterable]")) {
    const rows = [...table.tBodies[0].rows];
    const breaches = rows.filter((row) => row.dataset.verdict === "breaches");
    if (breaches.length === 0 || breaches.length === rows.length) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "filter";
    button.textContent = "Breaches only";
    button.setAttribute("aria-pressed", "false");
    table.closest(".table-block").prepend(button);
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      for (const row of rows) row.hidden = on && !breaches.includes(row);
      say(on ? `${breaches.length} of ${rows.length} rows shown` : `All ${rows.length} rows shown`);
    });
  }
})();
