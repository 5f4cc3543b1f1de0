// Paired differences with one chosen method: numbers, and intervals around zero with "better" on the right.
{
  const rival = byId("rival");
  const base = data.methods.find((method) => method.baseline) ?? data.methods[0];
  fillSelect(rival, data.methods.map((method) => [method.name, method.label]), base.name);
  rival.addEventListener("change", show);
  onChange(show);

  function show() {
    const percent = Math.round(100 * data.confidence);
    const { label, higher } = data.metrics[state.metric];
    byId("difference-note").textContent = state.chapter
      ? `${label}: method − ${methodLabel(rival.value)}, mean over the pages of ${state.chapter}. No interval from a single chapter.`
      : `${label}: method − ${methodLabel(rival.value)}, taken page by page, with the ${percent} % interval by bootstrap over chapters. ` +
        `${higher ? "More" : "Less"} is better: to the right of the line. Bold where the interval does not hold zero.`;
    byId("difference-panels").replaceChildren(...shownStyles().map(panel));
  }

  function differencesOf(style) {
    const chosen = data.differences.filter((one) => one.style === style && one.metric === state.metric && one.rival === rival.value);
    return state.chapter ? chosen.map((one) => ofChapter(one)).filter((one) => one.n) : chosen;
  }

  function ofChapter({ style, metric, method }) {
    const pairs = rows.filter((row) => row.style === style && row.method === method && row.chapter === state.chapter)
      .map((row) => [row, findRow(style, rival.value, row.chapter, row.page)]).filter(([, other]) => other)
      .map(([row, other]) => [scores[metric][row.index], scores[metric][other.index]]).filter(([a, b]) => a !== null && b !== null);
    const values = pairs.filter((pair) => pair.every(Number.isFinite)).map(([a, b]) => a - b);
    const sign = data.metrics[metric].higher ? 1 : -1;
    return {
      style, metric, method, value: mean(values), interval: null,
      n: values.length, better: values.filter((value) => sign * value > 0).length, infinite: pairs.length - values.length,
    };
  }

  function panel(style) {
    const found = differencesOf(style);
    const card = element("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": `Differences, ${style}` });
    if (data.styles.length > 1) card.append(element("p", { class: "panel-title" }, `input ${style}`));
    if (!found.length) {
      card.append(element("p", { class: "panel-title", style: "padding-bottom: 12px" }, ofChapters(state.metric)
        ? `${data.metrics[state.metric].label} is of whole chapters: there are no pages to compare.`
        : `No pages to compare with ${methodLabel(rival.value)}.`));
      return card;
    }
    const reach = Math.max(...found.flatMap((one) => [one.value, ...(one.interval ?? [])]).map(Math.abs)) * 1.06 || 1;
    const heads = ["method", "difference", "better on", "worse ◂  ▸ better"].map((text, i) =>
      element("th", { scope: "col", ...(i === 1 || i === 2 ? { class: "number" } : {}), ...(i === 3 ? { style: "text-align: center" } : {}) }, text));
    const body = element("tbody", {}, ...found.map((one) => line(one, reach)));
    card.append(element("table", { class: "difference-table" }, element("thead", {}, element("tr", {}, ...heads)), body));
    return card;
  }

  function line(one, reach) {
    const sign = data.metrics[one.metric].higher ? 1 : -1;
    const sure = one.interval && one.interval[0] * one.interval[1] > 0;
    const kind = sure ? `sure ${sign * one.value > 0 ? "good" : "bad"}` : "";
    const interval = one.interval ? element("small", {}, `[${one.interval.map((end) => format(one.metric, end, true)).join(", ")}]`) : "";
    const left = one.infinite ? element("small", {}, `${one.infinite} infinite, left out`) : "";
    return element("tr", { "data-method": one.method },
      element("th", { scope: "row" }, dot(one.method), methodLabel(one.method)),
      element("td", { class: "number" }, element("span", { class: kind }, format(one.metric, one.value, true)), interval),
      element("td", { class: "number" }, `${one.better} of ${one.n}`, left),
      element("td", { class: "forest" }, forest(one, sign, reach)));
  }

  function forest(one, sign, reach) {
    const x = scale(-reach, reach, 2, 98);
    const at = (value) => `${x(sign * value)}%`;
    const drawing = svg("svg", { "aria-hidden": "true", style: `--color: ${methodColor(one.method)}` });
    drawing.append(svg("line", { class: "zero", x1: "50%", x2: "50%", y1: "-8", y2: "42" }));
    if (one.interval) drawing.append(svg("line", { class: "whisker", x1: at(one.interval[0]), x2: at(one.interval[1]), y1: 17, y2: 17 }));
    drawing.append(svg("svg", { x: at(one.value), overflow: "visible" }, mark(one.method, 0, 17)));
    return drawing;
  }
}
