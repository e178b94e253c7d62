"use strict";
// Says when the page answers, and when what is in view is drawn, for those who measure it.
document.documentElement.dataset.usable = performance.now();
hybridsim.drawn.then(() => { document.documentElement.dataset.ready = performance.now(); });
