"use strict";
// Says when everything is drawn, for those who measure it.
(async () => {
  await (hybridsim.gantt?.ready);
  document.documentElement.dataset.usable = performance.now();
  await hybridsim.drawn;
  await (hybridsim.explored?.ready);
  await (hybridsim.points?.ready);
  document.documentElement.dataset.ready = performance.now();
})();
