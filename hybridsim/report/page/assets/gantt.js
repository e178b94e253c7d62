"use strict";
// The Gantt chart: which bars a stretch of time has, and moving through time.
hybridsim.gantt = (() => {
  const raw = hybridsim.data.gantt;
  const place = document.getElementById("gantt");
  const count = raw.step.length;
  const start = new Float64Array(count), end = new Float64Array(count);
  for (let i = 0, time = 0; i < count; i++) {
    time += raw.step[i];
    start[i] = time;
    end[i] = time + raw.duration[i];
  }
  const critical = new Uint8Array(count);
  for (const i of raw.critical) critical[i] = 1;
  const LEAST_PS = 200;
  const MOST_ROWS = 26;
  const PATH = "critical path";
  const {time} = hybridsim;
  const limits = raw.window;
  let [from, to] = raw.shown;
  let picked = -1;
  let marked = new Set();
  let view;

  const name = (i) => `${raw.ops[raw.op[i]]}: ${raw.actions[raw.action[i]]} [${raw.item[i]}]`;
  const resources = (i) => raw.users[raw.use[i]].map((r) => raw.resources[r][0]);
  const cause = (i) => (raw.cause[i] >= 0 ? name(raw.cause[i]) : "a task outside of this window");

  /** Return in words why a task started when it did, and what it had waited for. */
  function reason(i) {
    const code = raw.why[i] - raw.first_resource;
    if (code >= 0) return `resource: ${raw.resources[code][0]} was taken until ${cause(i)} ended`;
    return ["at once: nothing to wait for", `data: came from ${cause(i)}`,
      `room: made by ${cause(i)}`, `turn: came after ${cause(i)}`][raw.why[i]];
  }

  function facts(i) {
    const found = [
      ["task", name(i)],
      ["on", resources(i).join(", ") || "nothing (a delay)"],
      ["start", `${time(start[i])} (${start[i].toLocaleString("en")} ps)`],
      ["end", `${time(end[i])} (${end[i].toLocaleString("en")} ps)`],
      ["lasts", time(raw.duration[i])],
      ["started by", reason(i)],
    ];
    if (raw.room[i] > 0) found.push(["waited", `${time(raw.room[i])} for room or its turn, with its data there`]);
    if (raw.taken[i] > 0) found.push(["waited", `${time(raw.taken[i])} for a resource, ready to run`]);
    if (critical[i]) found.push(["critical", "on the critical path"]);
    return found;
  }

  function list(pairs) {
    const made = hybridsim.element("dl", undefined, {class: "facts"});
    for (const [key, text] of pairs) made.append(hybridsim.element("dt", key), hybridsim.element("dd", text));
    return made;
  }

  /** Return the bars between two instants: one per task, or one for several below a pixel. */
  function bars() {
    const pixel = (to - from) / Math.max(300, place.clientWidth - 160);
    const inside = [];
    const used = new Set();
    for (let i = 0; i < count && start[i] < to; i++) {
      if (end[i] > from) { inside.push(i); for (const r of raw.users[raw.use[i]]) used.add(r); }
    }
    const single = used.size <= MOST_ROWS;
    const rows = new Map([[PATH, []]]);
    const order = [...used].sort((a, b) =>
      raw.kinds.indexOf(raw.resources[a][1]) - raw.kinds.indexOf(raw.resources[b][1]) || a - b);
    const rowOf = (r) => (single ? raw.resources[r][0] : groups.get(raw.resources[r][1]));
    const groups = new Map();
    for (const r of order) {
      const kind = raw.resources[r][1];
      groups.set(kind, (groups.get(kind) ?? 0) + 1);
    }
    for (const [kind, parts] of groups) {
      const words = kind.replaceAll("_", " ");
      groups.set(kind, parts > 1 ? `${words} (${parts} parts)` : words);
    }
    for (const r of order) rows.set(rowOf(r), []);
    for (const i of inside) {
      if (critical[i]) rows.get(PATH).push(i);
      for (const row of new Set(raw.users[raw.use[i]].map(rowOf))) rows.get(row).push(i);
    }
    const found = [];
    for (const [row, tasks] of rows) found.push(...merged(row, tasks, pixel));
    return found;
  }

  /** Return the bars of one row; neighbours become one bar where each is too short to see. */
  function merged(row, tasks, pixel) {
    const found = [];
    let last = null;
    for (const i of tasks) {
      const short = end[i] - start[i] < 2 * pixel;
      const overlaps = last && start[i] < last.end;
      const close = last && start[i] <= last.end + pixel;
      if (last && (overlaps || (close && short && (last.count > 1 || last.short)))) {
        last.end = Math.max(last.end, end[i]);
        last.count += 1;
        last.critical ||= critical[i] === 1;
        last.marked ||= marked.has(raw.op[i]);
        const action = raw.actions[raw.action[i]];
        last.times[action] = (last.times[action] ?? 0) + end[i] - start[i];
        continue;
      }
      const action = raw.actions[raw.action[i]];
      last = {row, start: start[i], end: end[i], task: i, count: 1, short, action,
        critical: critical[i] === 1, marked: marked.has(raw.op[i]), times: {[action]: end[i] - start[i]}};
      found.push(last);
    }
    const width = (bar) => (Math.min(bar.end, to) - Math.max(bar.start, from)) / pixel;
    for (const bar of found) {
      if (bar.count > 1) {
        bar.action = Object.entries(bar.times).sort((a, b) => b[1] - a[1])[0][0];
        bar.task = -1;
      }
      bar.picked = bar.task === picked && picked >= 0;
      bar.faint = marked.size > 0 && !bar.marked;
      const text = bar.count > 1 ? `${bar.count} tasks` : bar.action;
      bar.label = width(bar) > 7 * text.length + 6 ? text : "";
      bar.middle = (Math.max(bar.start, from) + Math.min(bar.end, to)) / 2;
    }
    return found;
  }

  // an action has the colour of the part that does it; what else the part does, paler ones
  const shade = [100, 70, 85, 55, 78, 62, 48, 92];
  const done = {};
  const colors = raw.actions.map((_, i) => {
    const part = raw.part_of_action[i];
    const nth = done[part] = (done[part] ?? -1) + 1;
    return nth ? `color-mix(in srgb, ${raw.colors[part]} ${shade[nth % shade.length]}%, white)` : raw.colors[part];
  });
  const spec = () => ({
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    description: "Gantt chart: one row per part of the machine, one bar per task",
    width: "container",
    height: {step: 24},
    params: [{name: "from", value: from}, {name: "to", value: to}, {name: "scale", value: 1}, {name: "digits", value: 0}],
    data: {name: "bars", values: bars()},
    encoding: {
      y: {field: "row", type: "nominal", sort: null, title: null, axis: {labelLimit: 150, minExtent: 110}},
    },
    layer: [
      {
        mark: {type: "bar", aria: false, height: 17, clip: true, cornerRadius: 1},
        encoding: {
          x: {field: "start", type: "quantitative", title: null,
            scale: {domainRaw: {expr: "[from, to]"}, nice: false, zero: false},
            axis: {labelExpr: "format(datum.value / scale, ',.' + digits + 'f')", tickCount: 8}},
          x2: {field: "end"},
          color: {field: "action", type: "nominal", title: "what is done", scale: {domain: raw.actions, range: colors}},
          stroke: {condition: {test: "datum.picked || datum.critical", value: "var(--ink)"}, value: "var(--paper)"},
          opacity: {condition: {test: "datum.faint", value: 0.25}, value: 1},
          strokeWidth: {condition: [{test: "datum.picked", value: 4}, {test: "datum.critical", value: 1.3}], value: 0.4},
        },
      },
      {
        mark: {type: "text", aria: false, fontSize: 11, clip: true, color: "#000000", baseline: "middle"},
        encoding: {x: {field: "middle", type: "quantitative"}, text: {field: "label"}},
      },
    ],
  });

  const status = document.getElementById("gantt-range");
  const unit = document.getElementById("gantt-unit");

  function update() {
    const span = to - from;
    const [label, scale] = [["s", 1e12], ["ms", 1e9], ["µs", 1e6], ["ns", 1e3], ["ps", 1]].find(([, size]) => to >= size) ?? ["ps", 1];
    const digits = Math.max(0, Math.ceil(Math.log10(scale / (span / 8))) + 0);
    place.dataset.from = from;
    place.dataset.to = to;
    unit.textContent = `time since the start [${label}]`;
    status.textContent = `${time(from)} to ${time(to)}: ${time(span)} of ${time(limits[1] - limits[0])}`;
    if (!view) return undefined;  // what is marked and shown is kept, and drawn when the chart is
    view.signal("from", from).signal("to", to).signal("scale", scale).signal("digits", digits);
    return view.data("bars", bars()).runAsync();
  }

  let waiting = false;
  function show(a, b) {
    const whole = limits[1] - limits[0];
    const span = Math.min(Math.max(b - a, LEAST_PS), whole);
    const middle = (a + b) / 2;
    from = Math.round(Math.min(Math.max(middle - span / 2, limits[0]), limits[1] - span));
    to = from + Math.round(span);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; update(); });
  }

  const zoom = (factor, at = (from + to) / 2) => show(at - (at - from) * factor, at + (to - at) * factor);
  const pan = (share) => show(from + share * (to - from), to + share * (to - from));

  const panel = document.getElementById("gantt-task");
  function pick(i, follow) {
    if (i < 0) return;
    picked = i;
    panel.replaceChildren(list(facts(i)));
    const span = Math.max(to - from, LEAST_PS);
    if (follow && (start[i] < from || end[i] > to || end[i] - start[i] < span / 200)) {
      const length = Math.min(span, Math.max((end[i] - start[i]) * 20, LEAST_PS));
      show((start[i] + end[i]) / 2 - length / 2, (start[i] + end[i]) / 2 + length / 2);
    } else show(from, to);
  }
  /** Mark the tasks of some ops, and show the time in which they run; of none, mark nothing. */
  function mark(ops) {
    marked = new Set(ops.map((op) => raw.ops.indexOf(op)).filter((op) => op >= 0));
    const own = raw.op.flatMap((op, i) => (marked.has(op) ? [i] : []));
    if (!own.length) return show(from, to);
    const first = Math.min(...own.map((i) => start[i])), last = Math.max(...own.map((i) => end[i]));
    show(first - (last - first) * 0.05, last + (last - first) * 0.05);
    return own.length;
  }
  /** Return the nearest task of the critical path after or before the picked one. */
  function along(step) {
    const path = raw.critical;
    if (!path.length) return -1;
    const at = picked >= 0 ? picked : step > 0 ? path.find((i) => end[i] > from) - 1 : path.findLast((i) => start[i] < to) + 1;
    const next = step > 0 ? path.find((i) => i > at) : path.findLast((i) => i < at);
    return next ?? -1;
  }

  const tip = document.body.appendChild(hybridsim.element("div", undefined, {class: "tip", role: "tooltip", hidden: ""}));
  function hover(event, item) {
    const bar = item && item.datum && item.datum.row ? item.datum : null;
    tip.hidden = !bar;
    if (!bar) return;
    const pairs = bar.count > 1
      ? [["tasks", `${bar.count} in a row`], ["on", bar.row], ["from", time(bar.start)], ["to", time(bar.end)],
        ["mostly", bar.action], ["to see each", "zoom in"]]
      : facts(bar.task);
    tip.replaceChildren(list(pairs));
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${event.clientY + 18 + box.height > innerHeight ? Math.max(4, event.clientY - box.height - 12) : event.clientY + 18}px`;
  }

  function listen() {
    const instant = (clientX) => {
      const box = place.querySelector("svg").getBoundingClientRect();
      return view.scale("x").invert(clientX - box.left - view.origin()[0]);
    };
    view.addEventListener("mousemove", hover);
    view.addEventListener("mouseout", () => { tip.hidden = true; });
    let drag = null;
    place.addEventListener("pointerdown", (event) => {
      if (event.button === 0) drag = {x: event.clientX, from, to, moved: false};
    });
    addEventListener("pointermove", (event) => {
      if (!drag) return;
      const moved = event.clientX - drag.x;
      if (Math.abs(moved) > 3) drag.moved = true;
      if (!drag.moved) return;
      const shift = moved * (drag.to - drag.from) / view.width();
      show(drag.from - shift, drag.to - shift);
    });
    addEventListener("pointerup", () => { setTimeout(() => { drag = null; }); });
    view.addEventListener("click", (event, item) => {
      if (drag && drag.moved) return;
      const bar = item && item.datum;
      if (bar && bar.count === 1) pick(bar.task, false);
      else if (bar && bar.count > 1) show(bar.start - (bar.end - bar.start) * 0.1, bar.end + (bar.end - bar.start) * 0.1);
    });
    place.addEventListener("dblclick", (event) => zoom(0.5, instant(event.clientX)));
    place.addEventListener("wheel", (event) => {
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      if (event.ctrlKey || event.metaKey) zoom(Math.exp(event.deltaY / 300), instant(event.clientX));
      else if (Math.abs(sideways) > 2 * Math.abs(event.shiftKey ? 0 : event.deltaY)) pan(sideways / 800);
      else return;
      event.preventDefault();
    }, {passive: false});
    let width = place.clientWidth;
    new ResizeObserver(() => {
      if (place.clientWidth !== width) { width = place.clientWidth; update(); }
    }).observe(place);
  }

  // buttons, keys and the list answer before the chart is drawn
  const actions = {
    in: () => zoom(0.5), out: () => zoom(2), left: () => pan(-0.25), right: () => pan(0.25),
    all: () => show(...limits), next: () => pick(along(1), true), before: () => pick(along(-1), true),
    cause: () => { if (picked >= 0) pick(raw.cause[picked], true); },
  };
  const keys = {"+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", "0": "all",
    n: "next", p: "before", c: "cause"};
  place.addEventListener("keydown", (event) => {
    const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!action) return;
    event.preventDefault();
    actions[action]();
  });
  for (const button of document.querySelectorAll("[data-gantt]")) {
    button.addEventListener("click", () => actions[button.dataset.gantt]());
  }
  document.getElementById("gantt-layer").addEventListener("change", (event) => {
    if (event.target.value === "") return;
    const [, first, last] = raw.layers[event.target.value];
    show(first - (last - first) * 0.05, last + (last - first) * 0.05);
  });
  update();
  const rows = 1 + (raw.resources.length < MOST_ROWS ? raw.resources : raw.kinds).length;
  hybridsim.later(place.querySelector("div"), 24 * rows + 80, async () => {
    view = await hybridsim.embed(place.querySelector("div"), spec(), {tooltip: false});
    listen();
    await update();
  });
  return {show, zoom, pan, pick, mark, facts, limits};
})();
