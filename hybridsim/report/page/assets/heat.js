"use strict";
// The heat map of a sweep: two axes, an objective and a case, as chosen.
hybridsim.explored = (() => {
  const raw = hybridsim.data.heat;
  const pick = (id) => document.getElementById(`heat-${id}`);
  const [x, y, objective, ofCase] = ["x", "y", "objective", "case"].map(pick);
  const fill = (select, names) => names.forEach((name, i) => select.append(hybridsim.element("option", name, {value: i})));
  const names = raw.axes.map((axis) => axis.name);
  fill(x, names);
  fill(y, names);
  [x.value, y.value] = raw.shown;
  fill(objective, raw.objectives.map((each) => each.name));
  ofCase.append(hybridsim.element("option", "all together", {value: -1}));
  fill(ofCase, raw.cases);
  if (!raw.cases.length) pick("case-label").hidden = true;

  async function draw() {
    const [i, j] = [Number(x.value), Number(y.value)];
    const which = Number(objective.value);
    const {label, direction} = raw.objectives[which];
    const turned = i > j;
    const cells = i === j ? [] : raw.cells[turned ? `${j},${i}` : `${i},${j}`];
    const own = cells.filter((cell) => cell[0] === Number(ofCase.value) && cell[3 + which] !== null);
    const most = Math.max(0, ...own.map((cell) => Math.abs(cell[3 + which])));
    const least = Math.min(...own.map((cell) => cell[3 + which]));
    const type = least > 0 && most / least >= 20 ? "log" : "linear";
    const values = own.map((cell) => ({
      x: raw.axes[i].labels[cell[turned ? 2 : 1]], y: raw.axes[j].labels[cell[turned ? 1 : 2]], value: cell[3 + which],
    }));
    const few = raw.axes[i].labels.length <= 14;
    const position = {
      x: {field: "x", type: "nominal", sort: raw.axes[i].labels, scale: {domain: raw.axes[i].labels}, title: raw.axes[i].title,
        axis: {labelAngle: few ? 0 : -90, orient: "bottom", labelLimit: 130}},
      y: {field: "y", type: "nominal", sort: raw.axes[j].labels, scale: {domain: raw.axes[j].labels}, title: raw.axes[j].title},
    };
    const spec = {
      $schema: "https://vega.github.io/schema/vega-lite/v6.json",
      description: `Heat map: ${direction} ${label} by ${names[i]} and ${names[j]}`,
      width: "container",
      height: {step: 30},
      data: {values},
      layer: [
        {mark: {type: "rect", stroke: "var(--paper)", strokeWidth: 1},
          encoding: {...position,
            color: {field: "value", type: "quantitative", title: label, scale: {type, scheme: "cividis", reverse: direction === "minimise", ...(type === "linear" ? {zero: false} : {})},
              legend: {orient: "top", gradientLength: 220, tickCount: 4, format: ",.3~g"}},
            tooltip: [{field: "x", title: names[i]}, {field: "y", title: names[j]}, {field: "value", type: "quantitative", title: label, format: ",.5~g"}]}},
        ...(few ? [{mark: {type: "text", fontSize: 11}, encoding: {...position, text: {field: "value", type: "quantitative", format: ",.3~g"},
          color: {value: {expr: "luminance(scale('color', datum.value)) > 0.3 ? '#000000' : '#ffffff'"}}}}] : []),
      ],
    };
    await hybridsim.embed(pick("map"), spec);
  }
  for (const select of [x, y, objective, ofCase]) select.addEventListener("change", draw);
  hybridsim.later(pick("map"), 80 + 30 * raw.axes[raw.shown[1]].labels.length, draw);
})();
