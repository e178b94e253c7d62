"use strict";
// The points of a sweep: Pareto chart, parallel axes and table show one choice, made in any of them.
hybridsim.points = (() => {
  const raw = hybridsim.data.points;
  const count = raw.index.length;
  const all = Array.from({length: count}, (_, i) => i);
  const number = new Intl.NumberFormat("en", {maximumSignificantDigits: 4});
  const NS = "http://www.w3.org/2000/svg";
  const place = document.getElementById("parallel");
  const svg = place.appendChild(document.createElementNS(NS, "svg"));
  const made = (name, attributes, text) => {
    const node = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return svg.appendChild(node);
  };

  // one axis per setting that varies, then one per result; a place on it is 0 (below) to 1 (above)
  const shares = (values) => {
    const known = values.filter((value) => value !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const log = low > 0 && high / low >= 50;
    const f = log ? Math.log : (value) => value;
    const at = (value) => (high > low ? (f(value) - f(low)) / (f(high) - f(low)) : 0.5);
    const step = (k) => (log ? Math.exp(f(low) + (f(high) - f(low)) * k / 4) : low + (high - low) * k / 4);
    const whole = known.every(Number.isInteger) && high - low < 9 && !log;
    const told = whole ? Array.from({length: high - low + 1}, (_, k) => low + k) : [0, 1, 2, 3, 4].map(step);
    const marks = high > low ? told.map((value) => [at(value), number.format(value)]) : [[0.5, number.format(low)]];
    return {at: values.map((value) => (value === null ? null : at(value))), marks};
  };
  const axes = [
    ...raw.axes.filter((axis) => axis.labels.length > 1).map((axis) => {
      const last = axis.labels.length - 1;
      const every = Math.ceil(axis.labels.length / 12);
      return {name: axis.title, at: axis.codes.map((code) => code / last),
        marks: axis.labels.map((label, i) => [i / last, label]).filter((_, i) => i % every === 0)};
    }),
    ...raw.results.map((result) => ({name: result.title, ...shares(result.values)})),
  ];

  const HEIGHT = 330, TOP = 44, BOTTOM = 12;
  const width = Math.max(560, place.clientWidth || 560);
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  const x = (i) => 40 + (axes.length > 1 ? i * (width - 140) / (axes.length - 1) : width / 2);
  const y = (share) => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
  const colors = ["1", "2", "4", "3", "5", "6", "7", "8", "9"].map((c) => `var(--c${c})`);
  const lines = all.map((i) => {
    const corners = axes.map((axis, k) => (axis.at[i] === null ? null : `${x(k).toFixed(1)} ${y(axis.at[i]).toFixed(1)}`));
    const path = made("path", {d: `M${corners.filter((corner) => corner !== null).join("L")}`, class: raw.front[i] ? "front" : ""});
    path.style.stroke = colors[raw.case[i] % colors.length];
    return path;
  });
  const room = Math.max(8, Math.floor((width - 140) / Math.max(1, axes.length - 1) / 6.2));
  const titles = hybridsim.short(axes.map((axis) => axis.name), room * 2 - 2);
  axes.forEach((axis, k) => {
    const labels = hybridsim.short(axis.marks.map(([, label]) => label), room);
    made("line", {x1: x(k), x2: x(k), y1: y(0), y2: y(1)});
    const name = made("text", {x: x(k), y: k % 2 ? 28 : 14, "text-anchor": k ? "middle" : "start", class: "name"}, titles.get(axis.name));
    if (!k) name.setAttribute("x", 4);
    for (const [share, label] of axis.marks) made("text", {x: x(k) + 5, y: y(share) + 4}, labels.get(label));
    axis.brush = made("rect", {x: x(k) - 9, width: 18, y: 0, height: 0, class: "brush"});
    axis.grip = made("rect", {x: x(k) - 14, width: 28, y: TOP - 12, height: HEIGHT - TOP - BOTTOM + 20, class: "grip"});
    axis.range = null;
  });

  // the chart is told one after the other, as it may be drawing
  let telling = Promise.resolve();
  function tell(name, value) {
    telling = telling.then(() => hybridsim.views.front?.signal(name, value).runAsync());
  }

  // one choice
  const frontOnly = document.getElementById("chosen-front");
  let brushed = null;  // of the Pareto chart
  let chosen = all;
  let picked = -1;
  const MOST_ROWS = 200;
  const table = document.getElementById("chosen");
  const columns = [...raw.axes.map((axis) => ({title: axis.title, text: (i) => axis.labels[axis.codes[i]]})),
    ...raw.results.map((result) => ({title: result.title, number: true, text: (i) => (result.values[i] === null ? "" : number.format(result.values[i]))}))];
  const head = table.createTHead().insertRow();
  for (const column of columns) head.append(hybridsim.element("th", column.title, {scope: "col", class: column.number ? "number" : ""}));
  head.append(hybridsim.element("th", "run page", {scope: "col"}));
  const body = table.createTBody();

  function choose() {
    chosen = all.filter((i) => (!brushed || brushed(i)) && (!frontOnly.checked || raw.front[i])
      && axes.every(({range, at}) => !range || (at[i] !== null && at[i] >= range[0] && at[i] <= range[1])));
    const within = new Set(chosen);
    lines.forEach((line, i) => line.classList.toggle("out", !within.has(i)));
    tell("chosen", chosen.length === count ? null : Object.fromEntries(chosen.map((i) => [i, true])));
    const shown = chosen.slice().sort((a, b) => (raw.results[0].values[a] ?? Infinity) - (raw.results[0].values[b] ?? Infinity)).slice(0, MOST_ROWS);
    body.replaceChildren(...shown.map(row));
    const most = shown.length < chosen.length ? `, the first ${shown.length} in the table` : "";
    document.getElementById("chosen-count").textContent = `${chosen.length} of ${count} points${most}`;
    mark();
  }
  function row(i) {
    const made = hybridsim.element("tr", undefined, {"data-point": i});
    for (const column of columns) made.append(hybridsim.element("td", column.text(i), {class: column.number ? "number" : "text"}));
    const cell = made.appendChild(hybridsim.element("td"));
    const button = cell.appendChild(hybridsim.element("button", raw.pages.includes(raw.index[i]) ? "open" : "how", {class: "small", type: "button",
      "aria-label": `Point ${raw.index[i]}: its run page`}));
    made.addEventListener("click", () => pick(i));
    button.addEventListener("click", (event) => { event.stopPropagation(); pick(i); });
    return made;
  }
  function command(i) {
    const found = {...raw.base};
    for (const axis of raw.axes) Object.assign(found, axis.arguments[axis.codes[i]]);
    const {network, machine, ...others} = found;
    return `hybridsim run ${network} ${machine} ${Object.values(others).filter(Boolean).join(" ")} --out ${raw.folder}/${raw.index[i]}`;
  }
  function pick(i) {
    picked = i;
    const panel = document.getElementById("chosen-point");
    const words = raw.axes.map((axis) => `${axis.title} ${axis.labels[axis.codes[i]]}`).join(", ");
    const results = raw.results.map((result) => `${result.title} ${result.values[i] === null ? "unknown" : number.format(result.values[i])}`).join(", ");
    panel.replaceChildren(hybridsim.element("strong", words), hybridsim.element("p", `${results}${raw.front[i] ? "; on the Pareto front" : ""}`));
    const way = panel.appendChild(hybridsim.element("p"));
    if (raw.pages.includes(raw.index[i])) {
      way.append(hybridsim.element("a", "Its run page", {href: `${raw.folder}/${raw.index[i]}/page.html`}));
    } else {
      way.append("Its run page, in the folder of this page: ", hybridsim.element("code", command(i)));
    }
    mark();
  }
  function mark() {
    lines.forEach((line, i) => line.classList.toggle("picked", i === picked));
    if (picked >= 0) svg.insertBefore(lines[picked], axes[0].brush);
    for (const each of body.rows) each.classList.toggle("picked-row", Number(each.dataset.point) === picked);
    tell("picked", picked);
  }

  // drags along an axis
  let drag = null;
  const share = (event) => {
    const box = svg.getBoundingClientRect();
    return (HEIGHT - BOTTOM - (event.clientY - box.top) * HEIGHT / box.height) / (HEIGHT - TOP - BOTTOM);
  };
  function brush(axis, range) {
    axis.range = range;
    axis.brush.setAttribute("y", range ? y(range[1]) : 0);
    axis.brush.setAttribute("height", range ? Math.max(2, y(range[0]) - y(range[1])) : 0);
  }
  for (const axis of axes) {
    axis.grip.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      drag = {axis, from: share(event), moved: false};
    });
  }
  addEventListener("pointermove", (event) => {
    if (!drag) return;
    const to = share(event);
    if (Math.abs(to - drag.from) > 0.02) drag.moved = true;
    if (drag.moved) brush(drag.axis, [Math.min(drag.from, to) - 0.005, Math.max(drag.from, to) + 0.005]);
  });
  addEventListener("pointerup", () => {
    if (!drag) return;
    if (!drag.moved) brush(drag.axis, null);
    drag = null;
    choose();
  });

  frontOnly.addEventListener("change", choose);
  document.getElementById("chosen-none").addEventListener("click", async () => {
    for (const axis of axes) brush(axis, null);
    frontOnly.checked = false;
    brushed = null;
    picked = -1;
    document.getElementById("chosen-point").replaceChildren(hybridsim.element("span", "No point is picked.", {class: "note"}));
    telling = telling.then(() => hybridsim.views.front?.data("brush_store", []).runAsync());
    choose();
  });
  choose();
  hybridsim.linked.front = (view) => {
    const {x: across, y: up} = hybridsim.data.charts.front.columns;
    view.addSignalListener("brush", (_, box) => {
      const dragged = (range) => range?.length === 2 && range.every(Number.isFinite) && range[0] !== range[1];
      const within = (range, value) => !dragged(range) || (value >= Math.min(...range) && value <= Math.max(...range));
      const some = dragged(box?.x) || dragged(box?.y);
      brushed = some ? (i) => within(box.x, across[i]) && within(box.y, up[i]) : null;
      choose();
    });
    view.addEventListener("click", (_, item) => {
      if (item?.datum?.number !== undefined) pick(item.datum.number);
    });
    choose();  // what was chosen before the chart was drawn
  };
  return {choose, pick, command, axes, brush, chosen: () => chosen};
})();
