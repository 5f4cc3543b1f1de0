// Every page as a row, a hundred at a time: a benchmark has thousands.
{
  const table = byId("page-table"), more = byId("more-pages"), method = byId("page-method");
  const STEP = 100;
  let limit = STEP, sorting = null;

  fillSelect(method, [["", "all"], ...data.methods.map((one) => [one.name, one.label])], data.methods.find((one) => !one.baseline)?.name ?? "");
  const heads = [["page", {}], ["method", {}], ["input", { class: "input" }], ...data.page_metrics.map((name) => [data.metrics[name].label, { class: "number", "data-metric": name }])]
    .map(([text, attributes]) => element("th", { scope: "col", ...attributes }, text));
  table.tHead.append(element("tr", {}, ...heads, element("th", { scope: "col", "data-plain": "" }, "picture")));

  const readers = [(row) => `${row.chapter}/${row.page}`, (row) => methodLabel(row.method), (row) => row.style,
    ...data.page_metrics.map((name) => (row) => scores[name][row.index])];
  makeSortable(table, (column, head, descending) => { sorting = { read: readers[column], descending }; show(); });
  method.addEventListener("change", () => { limit = STEP; show(); });
  more.addEventListener("click", () => { limit += STEP; show(); });
  onChange(() => { limit = STEP; show(); });

  const key = (style, chapter, page) => [style, chapter, page].join("/");
  const articles = new Map([...byId("strips").querySelectorAll("article")].map((article) => [key(article.dataset.style, article.dataset.chapter, article.dataset.page), article]));

  function show() {
    const chosen = rows.filter((row) => (!method.value || row.method === method.value) &&
      (!state.style || row.style === state.style) && (!state.chapter || row.chapter === state.chapter));
    if (sorting) chosen.sort((a, b) => compare(sorting.read(a), sorting.read(b), sorting.descending));
    table.tBodies[0].replaceChildren(...chosen.slice(0, limit).map(line));
    byId("page-note").textContent = `${Math.min(limit, chosen.length)} of ${chosen.length} rows; pages.csv has all of them.`;
    more.hidden = chosen.length <= limit;
  }

  function line(row) {
    const cells = data.page_metrics.map((name) => element("td", { class: "number" }, format(name, scores[name][row.index])));
    return element("tr", {}, element("th", { scope: "row" }, `${row.chapter}/${row.page}`),
      element("td", {}, dot(row.method), methodLabel(row.method)), element("td", { class: "input" }, row.style), ...cells, element("td", {}, view(row)));
  }

  function view(row) {
    const article = articles.get(key(row.style, row.chapter, row.page));
    if (!article) return "";
    const button = element("button", { type: "button", "aria-label": `Show ${row.chapter}/${row.page}` }, "show");
    const name = article.querySelector(`figure[data-key="${CSS.escape(row.method)}"]`) ? row.method : "input";
    button.addEventListener("click", () => openZoom(article, name, button));
    return button;
  }
}

refresh();
