"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const narrow = matchMedia("(max-width: 560px)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)").matches;
  const drawn = new Set();
  const hidden = new Map();

  // "@c1" in a figure is the colour --c1 of the page's style, light or dark
  function resolved(value, style) {
    if (typeof value === "string") return /^@[a-z0-9]+$/.test(value) ? style.getPropertyValue("--" + value.slice(1)).trim() : value;
    if (Array.isArray(value)) return value.map((item) => resolved(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolved(item, style)]));
    }
    return value;
  }

  function styled(spec) {
    const style = getComputedStyle(document.documentElement);
    const { data, layout } = resolved(spec, style);
    const colour = (name) => style.getPropertyValue("--" + name).trim();
    for (const key of Object.keys(layout).filter((name) => /^[xy]axis/.test(name))) {
      layout[key] = { gridcolor: colour("grid"), zerolinecolor: colour("line"), linecolor: colour("line"), tickcolor: colour("line"), ...layout[key] };
      if (narrow.matches && key[0] === "x" && layout[key].nticks === undefined) layout[key].nticks = 5;
    }
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.font = { family: getComputedStyle(document.body).fontFamily, size: narrow.matches ? 11 : 12.5, color: colour("text") };
    layout.hoverlabel = { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("text"), size: 13 }, align: "left" };
    layout.dragmode = coarse ? false : "zoom";
    layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: colour("quiet"), activecolor: colour("accent") };
    return { data, layout };
  }

  function draw(box) {
    const { data, layout } = styled(figures[box.dataset.figure]);
    drawn.add(box);
    hidden.get(box)?.forEach((visible, index) => { data[index].visible = visible; });
    legend(box, data);
    Plotly.react(box, data, layout, {
      responsive: true, displaylogo: false, displayModeBar: coarse ? false : "hover", modeBarButtons: [["toImage", "resetScale2d"]], scrollZoom: false, doubleClick: "reset",
    });
  }

  const unescaped = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

  // a legend that wraps on a phone and works from the keyboard; each entry shows or hides its series
  function legend(box, data) {
    const place = box.previousElementSibling;
    const named = data.map((trace, index) => ({ trace, index })).filter(({ trace }) => trace.name && trace.showlegend !== false);
    if (named.length < 2) { place.hidden = true; return; }
    place.replaceChildren(...named.map(({ trace, index }) => {
      const entry = document.createElement("button"), mark = document.createElement("i");
      const shape = trace.type === "bar" ? "box" : trace.mode === "lines" ? ({ dot: "dot-line" })[trace.line.dash] || trace.line.dash || "solid" : /^line/.test(trace.marker.symbol || "") ? "solid" : /open/.test(trace.marker.symbol || "") ? "ring" : "dot";
      entry.type = "button";
      mark.className = shape;
      mark.style.color = trace.type === "bar" || trace.mode !== "lines" ? trace.marker.color : trace.line.color;
      const shown = hidden.get(box)?.get(index) ?? trace.visible ?? true;
      entry.setAttribute("aria-pressed", String(shown === true));
      entry.append(mark, unescaped(trace.name));
      entry.addEventListener("click", () => {
        const on = entry.getAttribute("aria-pressed") !== "true";
        entry.setAttribute("aria-pressed", String(on));
        if (!hidden.has(box)) hidden.set(box, new Map());
        hidden.get(box).set(index, on ? true : "legendonly");
        Plotly.restyle(box, { visible: on ? true : "legendonly" }, [index]);
      });
      return entry;
    }));
  }

  const boxes = [...document.querySelectorAll(".plot")];
  const later = window.requestIdleCallback ? (work) => requestIdleCallback(work, { timeout: 400 }) : (work) => setTimeout(work, 30);
  const near = (box) => box.getBoundingClientRect().top < 1.2 * innerHeight;
  function drawRest() {
    const next = boxes.find((box) => !drawn.has(box));
    if (next) { draw(next); later(drawRest); } else document.documentElement.dataset.ready = "yes";
  }
  addEventListener("DOMContentLoaded", () => { boxes.filter(near).forEach(draw); later(drawRest); });
  const redraw = () => boxes.forEach(draw);
  dark.addEventListener("change", redraw);
  narrow.addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((part) => { part.dataset.was = part.open ? "open" : ""; part.open = true; });
    boxes.forEach((box) => { draw(box); Plotly.relayout(box, { width: Math.min(box.clientWidth, 680), height: box.clientHeight }); });
  });
  addEventListener("afterprint", () => {
    document.querySelectorAll("details").forEach((part) => { part.open = part.dataset.was === "open"; });
    boxes.forEach((box) => { draw(box); Plotly.relayout(box, { width: null, height: null, autosize: true }); });
  });

  const raw = (cell) => cell.dataset.value;
  function sortBy(table, column) {
    const head = table.tHead.rows[0].cells[column];
    const numeric = head.classList.contains("number");
    const down = head.getAttribute("aria-sort") === "none" ? numeric : head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => { const text = raw(row.cells[column]); return numeric ? (text === "" ? -Infinity : Number(text)) : text; };
    const order = (a, b) => (numeric ? key(a) - key(b) : key(a).localeCompare(key(b), undefined, { numeric: true }));
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((a, b) => (down ? -order(a, b) : order(a, b))));
  }

  function filter(table, text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const content = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => content.includes(word));
      shown += !row.hidden;
    }
    document.querySelector(`[data-shown="${table.id}"]`).textContent = `${shown} of ${table.tBodies[0].rows.length}`;
  }

  // a cell that a spreadsheet would take for a formula gets an apostrophe
  function csvCell(text, numeric) {
    const safe = !numeric && /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  function csv(table) {
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    const lines = rows.map((row) => [...row.cells].map((cell, i) => csvCell(raw(cell), heads[i].classList.contains("number"))).join(","));
    return [heads.map((head) => head.dataset.key).join(","), ...lines, ""].join("\n");
  }

  for (const table of document.querySelectorAll("table.data")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => head.querySelector("button").addEventListener("click", () => sortBy(table, column)));
  }
  for (const input of document.querySelectorAll("[data-filter]")) {
    input.addEventListener("input", () => filter(document.getElementById(input.dataset.filter), input.value));
  }
  for (const button of document.querySelectorAll("[data-csv]")) {
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([csv(document.getElementById(button.dataset.csv))], { type: "text/csv" }));
      link.download = button.dataset.file;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }
})();
