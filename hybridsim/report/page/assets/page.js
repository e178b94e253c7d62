"use strict";
// What all pages share: their data, light and dark, and the charts.
const hybridsim = {
  data: JSON.parse(document.getElementById("data").textContent),

  /** Return the rows of a table that is told by columns. */
  records(columns) {
    const names = Object.keys(columns);
    const count = names.length ? columns[names[0]].length : 0;
    return Array.from({length: count}, (_, i) => {
      const row = {};
      for (const name of names) row[name] = columns[name][i];
      return row;
    });
  },

  /** Return an element with text; text is never read as markup. */
  element(name, text, attributes = {}) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  },

  /** Return a time [ps] for people, as the program writes it. */
  time(ps) {
    for (const [unit, size] of [["s", 1e12], ["ms", 1e9], ["µs", 1e6], ["ns", 1e3]]) {
      if (Math.abs(ps) >= size) {
        const value = ps / size;
        return `${value.toFixed(Math.max(0, 3 - String(Math.trunc(Math.abs(value))).length))} ${unit}`;
      }
    }
    return `${Math.round(ps)} ps`;
  },

  /** Offer text as a file. */
  save(name, text) {
    const link = hybridsim.element("a", "", {
      href: URL.createObjectURL(new Blob([text], {type: "text/csv;charset=utf-8"})),
      download: name,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  },

  /** Return rows of cells as CSV. */
  csv(rows) {
    const cell = (value) => {
      const text = String(value ?? "");
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return rows.map((row) => row.map(cell).join(",") + "\n").join("");
  },

  // colours are names of the style sheet, so light, dark and print need no new drawing
  config: {
    mark: {aria: false},  // the page names each chart, and offers its data
    background: null,
    font: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif",
    view: {stroke: null},
    axis: {labelColor: "var(--ink-2)", titleColor: "var(--ink)", gridColor: "var(--line)",
      domainColor: "var(--ink-2)", tickColor: "var(--ink-2)", labelFontSize: 12, titleFontSize: 12,
      titleFontWeight: "normal", labelLimit: 200},
    axisX: {tickCount: 8, labelOverlap: "greedy", labelSeparation: 8},
    axisY: {grid: false, tickCount: 6},
    legend: {labelColor: "var(--ink)", titleColor: "var(--ink-2)", orient: "top", labelFontSize: 12,
      titleFontSize: 12, titleFontWeight: "normal", labelLimit: 220, symbolStrokeWidth: 0,
      columns: 6, layout: {top: {direction: "vertical"}}},
    header: {labelColor: "var(--ink)", titleColor: "var(--ink)", labelFontSize: 12},
    title: {color: "var(--ink)"},
    text: {color: "var(--ink)"},
  },

  /** Return names as they fit into so many characters, as a map: cut in the middle, and never two as one. */
  short(names, most) {
    const found = new Map();
    const taken = new Set();
    for (const name of names) {
      if (found.has(name)) continue;
      let cut = name;
      for (let back = most >> 1; name.length > most && (cut === name || taken.has(cut)) && back < most; back++) {
        cut = `${name.slice(0, most - 1 - back)}…${name.slice(name.length - back)}`;
      }
      for (let k = 2, whole = cut; taken.has(cut); k++) cut = `${whole.slice(0, most - String(k).length - 1)}…${k}`;
      taken.add(cut);
      found.set(name, cut);
    }
    return found;
  },

  /** Let the names along the axes of a chart stay apart where there is no room for all of them. */
  shorten(spec, limit) {
    const parts = [spec, ...(spec.layer ?? [])];
    const rows = parts.flatMap((part) => part.data?.values ?? []);
    for (const encoding of parts.flatMap((part) => [part.encoding?.x, part.encoding?.y])) {
      if (encoding?.type !== "nominal" || encoding.axis === null) continue;
      const names = rows.map((row) => row[encoding.field]).filter((name) => typeof name === "string");
      const most = Math.floor((encoding.axis?.labelLimit ?? limit) / 6.8);  // pixels of a letter
      if (!names.some((name) => name.length > most)) continue;
      // Vega's expressions know no string with such a character
      const told = JSON.stringify(Object.fromEntries(hybridsim.short(names, most)))
        .replace(/[\u2028\u2029]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16)}`);
      encoding.axis = {...encoding.axis, labelExpr: `${told}[datum.label] || datum.label`};
    }
  },

  /** Return a chart for a small screen: names are cut sooner, and labels behind bars have room. */
  narrow(spec) {
    const short = (part) => {
      for (const {axis} of Object.values(part.encoding ?? {})) if (axis?.labelLimit) axis.labelLimit = 110;
    };
    [spec, ...(spec.layer ?? [])].forEach(short);
    const padding = {left: 2, top: 4, bottom: 4, right: spec.layer ? 34 : 6};
    return {...spec, padding, config: {axis: {labelLimit: 110}, legend: {columns: 3}}};
  },

  /** How numbers are written, as everywhere else: a space before the percent sign. */
  numbers: {decimal: ".", thousands: ",", grouping: [3], currency: ["", ""], percent: "\u00a0%"},

  /** Draw a chart, and return its view; one after the other. */
  embed(place, spec, options = {}) {
    const small = place.clientWidth < 560;
    if (small) spec = hybridsim.narrow(spec);
    hybridsim.shorten(spec, small ? 110 : hybridsim.config.axis.labelLimit);
    const turn = hybridsim.embedding.then(async () => {
      // Vega-Lite warns of each chart whose width is the page's and whose height is its rows'
      const {warn} = console;
      console.warn = () => {};
      try {
        return (await vegaEmbed(place, spec, {renderer: "svg", actions: false, config: hybridsim.config, formatLocale: hybridsim.numbers, ...options})).view;
      } finally {
        console.warn = warn;
      }
    });
    // the place is called an image, and its data can be had: nothing within is read out
    if (place.getAttribute("role") === "img") turn.then(() => place.querySelector("svg")?.setAttribute("aria-hidden", "true"));
    hybridsim.embedding = turn.catch(() => {});
    return turn;
  },
  embedding: Promise.resolve(),

  /** Draw one chart of the data into its place on the page. */
  async draw(place, chart) {
    const spec = {
      $schema: "https://vega.github.io/schema/vega-lite/v6.json",
      width: "container",
      description: chart.title,
      ...chart.spec,
      data: {name: "table", values: hybridsim.records(chart.columns)},
    };
    if (spec.facet) delete spec.width;
    const view = hybridsim.views[place.dataset.chart] = await hybridsim.embed(place, spec);
    hybridsim.linked[place.dataset.chart]?.(view);
  },
  views: {},
  linked: {},  // chart -> what is done with its view as soon as there is one

  /** Return about how high a chart will be [pixels]: its rows, and room for an axis and a legend. */
  height({spec, columns}) {
    const {height = 200, encoding, layer = [], facet} = {...spec, ...spec.spec};
    const names = (...channels) => channels.flatMap((channel) =>
      [{encoding}, ...layer].map((part) => part.encoding?.[channel]?.field).find(Boolean) ?? []);
    const count = (fields) => new Set(hybridsim.records(columns).map((row) => fields.map((name) => row[name]).join("\n"))).size;
    const inner = height.for === "offset" ? 1.25 * count(names("y", "yOffset")) : height.step && count(names("y"));
    const each = height.step ? height.step * inner : height;
    return 80 + (facet ? count([facet.row.field]) * (each + 20) : each);
  },

  /**
   * Let a place be drawn when it is near the view, and not before; what is only passed is not drawn.
   * Until then it is about as high as it will be, so that what is below it stays where it is.
   */
  later(place, height, draw) {
    place.style.minHeight = `${height}px`;
    hybridsim.undrawn.set(place, draw);
    hybridsim.watch.observe(place);
  },
  undrawn: new Map(),

  /** Draw a place unless it is drawn. */
  async now(place) {
    const draw = hybridsim.undrawn.get(place);
    hybridsim.undrawn.delete(place);
    hybridsim.watch.unobserve(place);
    await draw?.();
    place.style.minHeight = "";
  },

  /** Draw and lay out all, for those who read more than what is in view: a printer, a search. */
  async all() {
    document.documentElement.dataset.whole = "";
    await Promise.all([...hybridsim.undrawn.keys()].map(hybridsim.now));
    await hybridsim.embedding;
  },
};

// half a window ahead, one after the other, and the page answers in between
hybridsim.drawn = new Promise((first) => {
  const near = new Set();
  let drawing = false;
  hybridsim.watch = new IntersectionObserver(async (entries) => {
    for (const {target, isIntersecting} of entries) near[isIntersecting ? "add" : "delete"](target);
    if (drawing) return;
    drawing = true;
    for (const place of near) {
      near.delete(place);
      await hybridsim.now(place).catch(reportError);
      await new Promise((done) => setTimeout(done));
    }
    drawing = false;
    first();
  }, {rootMargin: "50% 0px"});
});
addEventListener("beforeprint", hybridsim.all);
addEventListener("keydown", (event) => {
  if (event.key === "F3" || ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "f")) hybridsim.all();
});

(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const stored = () => { try { return localStorage.getItem("hybridsim-theme"); } catch { return null; } };
  const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const tell = () => {
    button.textContent = dark() ? "Light" : "Dark";
  };
  if (stored()) root.dataset.theme = stored();
  tell();
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("hybridsim-theme", root.dataset.theme); } catch { /* not kept */ }
    tell();
  });
})();

// each chart can be taken away as data
for (const button of document.querySelectorAll("button[data-chart-csv]")) {
  button.addEventListener("click", () => {
    const name = button.dataset.chartCsv;
    const {columns} = hybridsim.data.charts[name];
    const rows = hybridsim.records(columns).map((row) => Object.values(row));
    hybridsim.save(`${name}.csv`, hybridsim.csv([Object.keys(columns), ...rows]));
  });
}

for (const place of document.querySelectorAll("[data-chart]")) {
  const chart = hybridsim.data.charts[place.dataset.chart];
  hybridsim.later(place, hybridsim.height(chart), () => hybridsim.draw(place, chart));
}
