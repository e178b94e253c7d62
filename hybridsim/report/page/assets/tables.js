"use strict";
// Tables: sort by a heading, filter by text, take away as CSV.
for (const box of document.querySelectorAll("[data-table]")) {
  const table = box.querySelector("table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const shown = box.querySelector("output");
  const filter = box.querySelector("input");
  const value = (row, i) => row.cells[i].dataset.value ?? row.cells[i].textContent;

  const tell = () => {
    const left = rows.filter((row) => !row.hidden).length;
    shown.textContent = left === rows.length ? `${left} rows` : `${left} of ${rows.length} rows`;
  };

  heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const number = head.classList.contains("number");
    const order = new Intl.Collator(undefined, {numeric: true});
    const compare = number
      ? (a, b) => (parseFloat(value(a, i)) || 0) - (parseFloat(value(b, i)) || 0)
      : (a, b) => order.compare(value(a, i), value(b, i));
    rows.sort((a, b) => (up ? compare(a, b) : compare(b, a)));
    body.append(...rows);
  }));

  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    tell();
  });

  box.querySelector("button[data-csv]").addEventListener("click", () => {
    const names = heads.map((head) => head.dataset.key);
    const left = rows.filter((row) => !row.hidden);
    const cells = left.map((row) => names.map((_, i) => value(row, i)));
    hybridsim.save(`${box.dataset.table}.csv`, hybridsim.csv([names, ...cells]));
  });
  tell();
}
