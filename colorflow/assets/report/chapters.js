// One plot an input style: the methods' means by chapter with their pages behind, or the pages of the chosen chapter.
{
  const hidden = new Set();
  const HEIGHT = 280, LEFT = 52, TOP = 12, BOTTOM = 52;

  byId("legend").replaceChildren(...data.methods.map(({ name, label }) => {
    const button = element("button", { type: "button", "aria-pressed": "true" }, dot(name), label);
    button.addEventListener("click", () => {
      if (!hidden.delete(name)) hidden.add(name);
      button.setAttribute("aria-pressed", String(!hidden.has(name)));
      show();
    });
    return button;
  }));
  onChange(show);
  let width = 0;
  new ResizeObserver(() => {
    if (Math.abs(byId("chapter-panels").clientWidth - width) > 4) show();
  }).observe(byId("chapter-panels"));

  function show() {
    width = byId("chapter-panels").clientWidth;
    byId("chapters-title").textContent = byPage() ? `By page, ${state.chapter}` : "By chapter";
    byId("chapter-note").textContent = byPage() ? "Each mark is a page." : ofChapters(state.metric)
      ? `Each mark is a whole chapter: ${data.metrics[state.metric].label} compares its pages with each other.`
      : "Large marks are means, small ones pages. A chapter opens by click or Enter; the arrow keys go from one to the next.";
    byId("chapter-panels").replaceChildren(...shownStyles().map(panel));
  }

  const byPage = () => Boolean(state.chapter) && !ofChapters(state.metric);

  // [{name, of: {method: values}}], a column each.
  function columnsOf(style) {
    const chosen = rows.filter((row) => row.style === style && !hidden.has(row.method) && (!state.chapter || row.chapter === state.chapter));
    const columns = new Map();
    for (const row of chosen) {
      const name = byPage() ? row.page : row.chapter;
      if (!columns.has(name)) columns.set(name, { name, of: {} });
      const { of } = columns.get(name), value = scoreOf(state.metric, row);
      if (value !== null && !(of[row.method] && ofChapters(state.metric))) (of[row.method] ??= []).push(value);
    }
    return [...columns.values()];
  }

  function panel(style) {
    const columns = columnsOf(style);
    const readout = element("p", { class: "readout", "aria-live": "polite" });
    const card = element("div", { class: "card", "data-style": style });
    if (data.styles.length > 1) card.append(element("p", { class: "note" }, `input ${style}`));
    const methods = methodsOf(style).filter((name) => !hidden.has(name));
    if (columns.length) card.append(element("div", { class: "plot" }, draw(columns, methods, readout)), readout);
    else card.append(element("p", { class: "note" }, "No page of the methods that are switched on."));
    return card;
  }

  function range(columns) {
    const values = columns.flatMap((column) => Object.values(column.of).flat()).filter(Number.isFinite);
    const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
    const margin = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
    return [low - margin, high + margin];
  }

  function draw(columns, methods, readout) {
    const wide = Math.max(width - 34, LEFT + 38 * columns.length);
    const step = (wide - LEFT) / columns.length;
    const [low, high] = range(columns);
    const y = scale(low, high, HEIGHT - BOTTOM, TOP);
    const x = (column, method) => LEFT + step * (column + 0.5) + (methods.indexOf(method) - (methods.length - 1) / 2) * Math.min(12, (step - 10) / methods.length);
    const shared = sharedStart(columns.map((column) => column.name));
    const label = `${data.metrics[state.metric].label} by ${byPage() ? "page" : "chapter"}`;
    const drawing = svg("svg", { width: wide, height: HEIGHT, role: "group", "aria-label": label });
    const axis = ticks(low, high, 5);
    for (const value of axis.values) {
      drawing.append(svg("line", { class: "rule", x1: LEFT, x2: wide, y1: y(value), y2: y(value) }));
      drawing.append(svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(axis.decimals)));
    }
    const groups = columns.map((column, i) => columnGroup(column, i, step, methods, x, y, readout, shared));
    drawing.append(...groups);
    for (const method of methods) {
      const points = columns.map((column, i) => column.of[method] && `${x(i, method)},${y(mean(column.of[method]))}`).filter(Boolean);
      drawing.append(svg("polyline", { class: "line", points: points.join(" "), style: `--color: ${methodColor(method)}`, "pointer-events": "none" }));
    }
    groups[0].setAttribute("tabindex", "0");
    const all = methods.map((method) => [method, format(state.metric, mean(columns.flatMap((column) => column.of[method] ?? [])))]);
    tell(readout, state.chapter || (ofChapters(state.metric) ? "all chapters" : "all pages"), all);
    return drawing;
  }

  function columnGroup(column, i, step, methods, x, y, readout, shared) {
    const texts = methods.filter((method) => column.of[method]).map((method) => [method, format(state.metric, mean(column.of[method]))]);
    const group = svg("g", { role: state.chapter ? "img" : "button", tabindex: "-1", "data-name": column.name,
      "aria-label": `${column.name}: ${texts.map(([method, text]) => `${methodLabel(method)} ${text}`).join(", ")}` });
    group.append(svg("rect", { class: "column", x: LEFT + step * i, y: 2, width: step, height: HEIGHT - 4, rx: 6 }));
    for (const [method] of texts) {
      const style = `--color: ${methodColor(method)}`;
      const values = column.of[method];
      if (values.length > 1) group.append(...values.map((value) => svg("circle", { class: "page", cx: x(i, method), cy: y(value), r: 2.5, style })));
      group.append(mark(method, x(i, method), y(mean(values))));
    }
    group.append(columnName(column.name, shared, LEFT + step * (i + 0.5), step));
    for (const name of ["pointerenter", "focus"]) group.addEventListener(name, () => tell(readout, column.name, texts));
    group.addEventListener("click", () => { if (!state.chapter) chooseChapter(column.name); });
    group.addEventListener("keydown", (event) => move(event, group, column));
    return group;
  }

  function tell(readout, name, texts) {
    const numbers = texts.map(([method, text]) => element("span", {}, dot(method), `${methodLabel(method)} ${text}`));
    readout.replaceChildren(element("b", {}, name), document.createElement("br"), ...numbers);
  }

  // What all names begin with, up to a sign that parts words: it does not tell them apart.
  function sharedStart(names) {
    let end = names.length > 1 ? names[0].length : 0;
    for (const name of names) while (!name.startsWith(names[0].slice(0, end))) end--;
    return names[0].slice(0, end).replace(/[^ _.-]*$/, "");
  }

  // A name that does not fit under its column loses what all share, then its start, and is slanted at last.
  function columnName(name, shared, middle, step) {
    const room = Math.floor(step / 7);
    const own = name.length > room && shared ? `…${name.slice(shared.length)}` : name;
    const short = own.length > Math.max(room, 9) ? `…${own.slice(-8)}` : own;
    const slanted = short.length > room;
    const place = slanted ? { "text-anchor": "end", transform: `translate(${middle + 4} ${HEIGHT - BOTTOM + 16}) rotate(-32)` }
      : { "text-anchor": "middle", x: middle, y: HEIGHT - BOTTOM + 20 };
    return svg("text", place, short);
  }

  function move(event, group, column) {
    const next = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
    if (next && group[next]?.tagName === "g") {
      event.preventDefault();
      group[next].focus();
    } else if (event.key === "Enter" && !state.chapter) chooseChapter(column.name);
  }
}
