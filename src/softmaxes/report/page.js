"use strict";
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);

  // Charts are drawn to the width that the page gives them, and again when that changes.
  const widths = new Map();
  function draw(place) {
    const width = Math.floor(place.clientWidth);
    if (!width || widths.get(place) === width) return;
    widths.set(place, width);
    const spec = structuredClone(data.charts[place.dataset.chart]);
    spec.width = width;
    spec.height = place.dataset.height ? Number(place.dataset.height) : Math.round(width * Number(place.dataset.aspect));
    if (place.dataset.chart === "coefficients") {
      const rows = data.coefficients[document.getElementById("class-choice").value];
      spec.datasets = { ...spec.datasets, chosen: rows };
      spec.height = 60 + 30 * rows.length;
      list(rows);
    }
    window.vegaEmbed(place, spec, { actions: false, renderer: "svg", mode: "vega-lite" });
  }
  const places = [...document.querySelectorAll("[data-chart]")];
  places.forEach(draw);
  let waiting = 0;
  new ResizeObserver(() => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => places.forEach(draw));
  }).observe(document.querySelector("main"));

  // The coefficients of the chosen class, as a picture and as a table.
  function list(rows) {
    const body = document.getElementById("coefficient-rows");
    body.replaceChildren(...rows.map((row) => {
      const line = document.createElement("tr");
      line.append(cell("th", row.feature), cell("td", row.shown, "num"), cell("td", row.interval, "num"));
      line.firstChild.scope = "row";
      return line;
    }));
  }
  function cell(tag, text, kind) {
    const made = document.createElement(tag);
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }
  document.getElementById("class-choice")?.addEventListener("change", () => {
    const place = document.querySelector('[data-chart="coefficients"]');
    widths.delete(place);
    draw(place);
  });

  // Tables sort by the column whose heading is pressed; a second press turns the order round.
  for (const table of document.querySelectorAll("table[data-sorts]")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = head.querySelector("button");
      button?.addEventListener("click", () => {
        const numbers = head.classList.contains("num");
        const before = head.getAttribute("aria-sort");
        const order = before ? (before === "ascending" ? "descending" : "ascending") : numbers ? "descending" : "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
        const known = (value) => value !== "" && !Number.isNaN(Number(value));
        const rows = [...body.rows].sort((a, b) => {
          const [x, y] = [key(a), key(b)];
          if (!numbers) return sign * x.localeCompare(y, undefined, { numeric: true });
          return known(x) && known(y) ? sign * (Number(x) - Number(y)) : Number(known(y)) - Number(known(x));
        });
        body.append(...rows);
      });
    });
  }

  // Long tables can be searched.
  for (const input of document.querySelectorAll("input[data-filters]")) {
    const table = document.getElementById(input.dataset.filters);
    const found = document.getElementById(input.dataset.filters + "-found");
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
        shown += row.hidden ? 0 : 1;
      }
      found.textContent = wanted ? `${shown} shown` : "";
    });
  }

  // Paper shows what the screen folds away.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")].filter((one) => !one.dataset.long);
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
})();
