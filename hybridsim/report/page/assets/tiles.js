"use strict";
// The map of the tiles: what each holds, coloured as chosen; a layer is marked here and in the timeline.
hybridsim.tiles = (() => {
  const raw = hybridsim.data.tiles;
  const place = document.getElementById("tiles");
  if (!raw || !place) return null;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const made = (name, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return svg.appendChild(node);
  };
  const edge = 0.3, label = raw.chips.length ? 1.2 : 0;
  const whole = [-edge, -edge - label, raw.width + 2 * edge, raw.height + 2 * edge + label];
  let box = [...whole];
  svg.setAttribute("aria-hidden", "true");
  place.append(svg);
  for (const chip of raw.chips) {
    made("rect", {class: "chip", x: chip.x, y: chip.y, width: chip.w, height: chip.h});
    made("text", {x: chip.x, y: chip.y - 0.3, "font-size": 1}).textContent = chip.name;
  }
  const shapes = raw.groups.map((group, i) => made("path", {class: "group", d: group.path, "data-group": i}));
  const bare = raw.chips.length === 0;
  if (raw.width * raw.height < 3000) {  // lines between tiles that work together
    const fine = {stroke: "var(--paper)", "stroke-width": 0.08, "pointer-events": "none"};
    if (bare) for (let x = 1; x < raw.width; x++) made("line", {x1: x, x2: x, y1: 0, y2: raw.height, ...fine});
    if (bare) for (let y = 1; y < raw.height; y++) made("line", {y1: y, y2: y, x1: 0, x2: raw.width, ...fine});
  }

  // colours
  const kinds = [...new Set(raw.groups.map((group) => group.kind))];
  const hue = (i) => `hsl(${Math.round(i * 137.5 + 20) % 360} 42% ${[62, 50, 72][i % 3]}%)`;
  const value = (group, mode) => (mode.age === undefined ? group[mode.key] : group.noise?.[mode.age]) ?? null;
  const most = (key) => Math.max(0, ...raw.groups.flatMap((group) => group[key] ?? 0));
  const round = (value) => [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1].find((step) => step >= value) ?? value;
  const percent = (value) => `${Number((value * 100).toPrecision(3))} %`;
  const modes = [{name: "what they hold"}, {name: "use, 0 to 100 %", key: "use", top: 1}];
  if (most("use") < 0.5) modes.push({name: `use, 0 to ${percent(round(most("use")))}`, key: "use", top: round(most("use"))});
  if (raw.groups.some((group) => group.held !== null)) modes.push({name: "devices with weights", key: "held", top: 1});
  if (most("copies") > 1) modes.push({name: "copies", key: "copies", top: most("copies"), count: true});
  raw.ages.forEach((time, age) => modes.push({name: `error of MVMs, ${time} old`, key: "noise", age, top: round(most("noise"))}));
  const choice = document.getElementById("tiles-color");
  modes.forEach((mode, i) => choice.append(hybridsim.element("option", mode.name, {value: i})));
  const key = document.getElementById("tiles-key");
  const MOST_NAMED = 14;

  function entry(color, text) {
    const item = hybridsim.element("li");
    item.append(hybridsim.element("i", "", {style: `background: ${color}`}), text);
    return item;
  }
  const mixed = (color, share) => `color-mix(in srgb, ${color} ${Math.round(Math.min(share, 1) * 1000) / 10}%, var(--panel))`;
  const scale = (mode) => (mode.count
    ? [...new Set(raw.groups.map((group) => value(group, mode)))].filter((found) => found !== null).sort((a, b) => a - b).slice(0, MOST_NAMED)
    : [0, 0.25, 0.5, 0.75, 1].map((share) => share * mode.top));
  function paint() {
    const mode = modes[Number(choice.value)];
    raw.groups.forEach((group, i) => {
      const found = mode.key ? value(group, mode) : null;
      const color = !mode.key ? hue(kinds.indexOf(group.kind))
        : found === null ? "var(--paper)" : mixed(group.color, found / mode.top);
      shapes[i].style.fill = color;
    });
    const color = raw.groups[0]?.color ?? "var(--c1)";
    key.replaceChildren(...(mode.key
      ? scale(mode).map((found) => entry(mixed(color, found / mode.top), mode.count ? String(found) : percent(found)))
      : [...kinds.slice(0, MOST_NAMED).map((kind, i) => entry(hue(i), kind)),
        ...(kinds.length > MOST_NAMED ? [`and ${kinds.length - MOST_NAMED} other kinds`].map((text) => hybridsim.element("li", text)) : [])]));
  }
  if (kinds.length === 1) choice.value = modes.length > 2 && modes[2].key === "use" ? 2 : 1;
  choice.addEventListener("change", paint);
  paint();

  // what is under the pointer, and what is marked
  const layers = [...new Set(raw.groups.flatMap((group) => group.layers))];
  const find = document.getElementById("tiles-layer");
  layers.forEach((name, i) => find.append(hybridsim.element("option", name, {value: i})));
  const told = document.getElementById("tiles-picked");
  const named = (names) => (names.length > 4 ? `${names.slice(0, 4).join(", ")} and ${names.length - 4} more` : names.join(", ")) || "nothing";
  function facts(group) {
    const found = [["tiles", `${group.name}${group.tiles > 1 ? `, ${group.tiles} that work together` : ""}`]];
    if (group.chip !== null) found.unshift(["chip", String(group.chip)]);
    found.push(["hold", named(group.layers)], ["at work", percent(group.use)]);
    if (group.held !== null) found.push(["devices", `${percent(group.held)} hold weights`]);
    if (group.copies > 1) found.push(["copies", `one of ${group.copies} sets that take tokens in turn`]);
    if (group.noise !== null) found.push(["error", `${group.noise.map((error, age) => `${percent(error)} when ${raw.ages[age]} old`).join(", ")}, relative`]);
    return found;
  }
  function mark(names) {
    const wanted = new Set(names);
    raw.groups.forEach((group, i) => shapes[i].classList.toggle("marked", group.layers.some((name) => wanted.has(name))));
    for (const shape of shapes) if (shape.classList.contains("marked")) svg.append(shape);  // outlines on top
    const count = hybridsim.gantt?.mark(names) ?? 0;
    const here = count ? `${count} of its tasks are marked in the timeline` : "none of its tasks is in the stretch of time on this page";
    told.textContent = names.length ? `${named(names)}: ${here}.` : "Point at tiles to see what they hold; a click marks their tasks in the timeline.";
  }
  find.addEventListener("change", () => mark(find.value === "" ? [] : [layers[find.value]]));

  // the timeline has made it
  const tip = document.querySelector(".tip");
  const at = (event) => raw.groups[shapes.indexOf(event.target)];
  svg.addEventListener("pointermove", (event) => {
    const group = at(event);
    tip.hidden = !group;
    if (!group) return;
    const list = hybridsim.element("dl", undefined, {class: "facts"});
    for (const [name, text] of facts(group)) list.append(hybridsim.element("dt", name), hybridsim.element("dd", text));
    tip.replaceChildren(list);
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${event.clientY + 18 + tip.offsetHeight > innerHeight ? Math.max(4, event.clientY - tip.offsetHeight - 12) : event.clientY + 18}px`;
  });
  svg.addEventListener("pointerleave", () => { tip.hidden = true; });

  // moving over it
  function show(next) {
    const scale = Math.min(1, Math.max(next[2] / whole[2], 3 / whole[2]));
    const [w, h] = [whole[2] * scale, whole[3] * scale];
    const inside = (value, low, room) => Math.min(Math.max(value, low), low + room);
    box = [inside(next[0], whole[0], whole[2] - w), inside(next[1], whole[1], whole[3] - h), w, h];
    svg.setAttribute("viewBox", box.join(" "));
    place.dataset.box = box.join(" ");
  }
  const zoom = (factor, x = box[0] + box[2] / 2, y = box[1] + box[3] / 2) =>
    show([x - (x - box[0]) * factor, y - (y - box[1]) * factor, box[2] * factor, box[3] * factor]);
  const move = (x, y) => show([box[0] + x * box[2], box[1] + y * box[3], box[2], box[3]]);
  const actions = {in: () => zoom(0.6), out: () => zoom(1 / 0.6), all: () => show(whole)};
  for (const button of document.querySelectorAll("[data-tiles]")) button.addEventListener("click", () => actions[button.dataset.tiles]());
  const keys = {"+": actions.in, "=": actions.in, "-": actions.out, 0: actions.all, ArrowLeft: () => move(-0.2, 0),
    ArrowRight: () => move(0.2, 0), ArrowUp: () => move(0, -0.2), ArrowDown: () => move(0, 0.2)};
  place.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  const under = (event) => {
    const {left, top, width} = svg.getBoundingClientRect();
    const scale = box[2] / width;
    return [box[0] + (event.clientX - left) * scale, box[1] + (event.clientY - top) * scale, scale];
  };
  place.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(Math.exp(event.deltaY / 300), ...under(event));
  }, {passive: false});
  place.addEventListener("dblclick", (event) => zoom(0.5, ...under(event)));
  let drag = null;
  place.addEventListener("pointerdown", (event) => { if (event.button === 0) drag = {x: event.clientX, y: event.clientY, box, moved: false}; });
  addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [x, y] = [event.clientX - drag.x, event.clientY - drag.y];
    if (Math.hypot(x, y) > 3) drag.moved = true;
    const scale = under(event)[2];
    if (drag.moved) show([drag.box[0] - x * scale, drag.box[1] - y * scale, drag.box[2], drag.box[3]]);
  });
  addEventListener("pointerup", () => { setTimeout(() => { drag = null; }); });
  svg.addEventListener("click", (event) => {
    const group = at(event);
    if (drag?.moved) return;
    find.value = group?.layers.length === 1 ? layers.indexOf(group.layers[0]) : "";
    mark(group ? group.layers : []);
  });
  show(whole);
  return {mark, show, facts};
})();
