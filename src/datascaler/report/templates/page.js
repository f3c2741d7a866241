"use strict";
// Draws the page's figures in the colours of its theme, and saves figures and tables as files.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const isTouched = matchMedia("(pointer: coarse)").matches;
  const plots = [...document.querySelectorAll("[data-figure]")];

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const named = (name) => style.getPropertyValue("--" + name).trim();
    return (key) => named(/^@\d$/.test(key) ? "c" + key[1] : key.slice(1));
  };

  // A copy in which "@3" or "@paper", where a colour stands, is the theme's.
  const coloured = (value, colour, key) => {
    if (Array.isArray(value)) return value.map((each) => coloured(each, colour, key));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, coloured(each, colour, name)]));
    }
    const isColour = typeof value === "string" && /color$/i.test(key || "") && value[0] === "@";
    return isColour ? colour(value) : value;
  };

  const axis = (given, colour) => ({
    automargin: true, gridcolor: colour("@grid"), linecolor: colour("@edge"), zerolinecolor: colour("@muted"),
    zeroline: false, ticks: "", ...given, title: { standoff: 10, ...(given.title || {}) },
  });

  const layoutOf = (figure, colour) => {
    const given = coloured(figure.layout, colour);
    return {
      ...given,
      paper_bgcolor: colour("@paper"), plot_bgcolor: colour("@paper"), dragmode: isTouched ? false : "zoom",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("@ink") },
      margin: { l: 8, r: 16, t: 12, b: 44 }, height: figure.height,
      xaxis: axis(given.xaxis || {}, colour), yaxis: axis(given.yaxis || {}, colour),
      legend: { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom", ...(given.legend || {}) },
      hoverlabel: {
        bgcolor: colour("@panel"), bordercolor: colour("@edge"), font: { color: colour("@ink") }, align: "left",
      },
    };
  };

  const settings = { responsive: true, displayModeBar: false, showTips: false, doubleClickDelay: 400 };
  const draw = () => {
    const colour = colours();
    return Promise.all(plots.map((plot) => {
      const figure = figures[plot.dataset.figure];
      return Plotly.react(plot, coloured(figure.traces, colour), layoutOf(figure, colour), settings);
    }));
  };

  const save = (url, name) => {
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
  };
  const saveText = (text, name) => {
    const url = URL.createObjectURL(new Blob(["\ufeff" + text], { type: "text/csv;charset=utf-8" }));
    save(url, name);
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  };

  // A text that a spreadsheet would take for a formula gets an apostrophe.
  const field = (value) => {
    if (value === null || value === undefined) return "";
    let text = String(value);
    const isNumber = text !== "" && Number.isFinite(Number(text));
    if (!isNumber && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
    return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  const csv = (rows) => rows.map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";

  const figureRows = (figure) => {
    const unescaped = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
    const rows = [["series", "x", "y", "label"]];
    for (const trace of figure.traces) {
      const texts = trace.text || [];
      trace.x.forEach((x, at) => {
        if (x !== null) rows.push([unescaped(trace.meta || trace.name), x, trace.y[at], unescaped(texts[at] || "")]);
      });
    }
    return rows;
  };
  const valueOf = (cell) => (cell.hasAttribute("data-value") ? cell.dataset.value : cell.textContent);
  const tableRows = (table) => [...table.rows].map((row) => [...row.cells].map(valueOf));

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.classList.contains("sort")) sort(button.closest("th"));
    const block = button.closest("figure, .table");
    if (button.dataset.save === "table") saveText(csv(tableRows(block.querySelector("table"))), block.id + ".csv");
    if (button.dataset.save === "csv") saveText(csv(figureRows(figures[block.id])), block.id + ".csv");
    if (button.dataset.save === "png" || button.dataset.save === "svg") {
      const plot = block.querySelector(".plot");
      const size = { width: Math.max(plot.clientWidth, 700), height: plot.clientHeight, scale: 2 };
      Plotly.toImage(plot, { format: button.dataset.save, ...size }).then((url) => save(url, `${block.id}.${button.dataset.save}`));
    }
  });

  const sort = (head) => {
    const body = head.closest("table").tBodies[0];
    const at = head.cellIndex;
    const falling = head.getAttribute("aria-sort") === "descending";
    for (const each of head.parentNode.cells) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "ascending" : "descending");
    const compare = (one, other) => {
      const [a, b] = [valueOf(one.cells[at]), valueOf(other.cells[at])];
      // What has no value stays last, whichever way.
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = Number.isFinite(Number(a)) && Number.isFinite(Number(b)) ? a - b : a.localeCompare(b);
      return falling ? order : -order;
    };
    body.append(...[...body.rows].sort(compare));
  };

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  matchMedia("print").addEventListener("change", draw);
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details")) each.open = true;
  });
  draw().then(() => { document.documentElement.dataset.drawn = plots.length; });
})();
