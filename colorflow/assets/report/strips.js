// Which strips are shown and in what order, and the notes below their pictures.
{
  const strips = [...byId("strips").children].map((article) => ({ article, ...article.dataset, tags: article.dataset.tags.split(" ") }));
  const mode = byId("strip-mode"), method = byId("strip-method"), ranking = byId("strip-metric");
  const empty = element("p", { class: "note", hidden: "" }, "No picture of this kind here; the table below lists every page.");
  byId("strips").append(empty);
  const colored = data.methods.filter((one) => !one.baseline);
  fillSelect(method, colored.map((one) => [one.name, one.label]), colored[0]?.name ?? "");
  if (!colored.length) for (const name of ["worst", "best"]) mode.querySelector(`[value=${name}]`).remove();
  const ranked = data.ranking_metrics.filter((name) => data.page_metrics.includes(name));
  fillSelect(ranking, ranked.map((name) => [name, data.metrics[name].label]), ranked[0]);
  for (const select of [mode, method, ranking]) select.addEventListener("change", show);
  let before = null; // metric of the bar: a change there is a change here, where pages are ranked by it
  onChange(() => {
    if (state.metric !== before && ranked.includes(state.metric)) ranking.value = state.metric;
    before = state.metric;
    show();
  });

  const notes = {
    even: "Spread evenly over the chapters, not picked for their results.",
    worst: "The worst first, by the chosen method and metric.",
    best: "The best first, by the chosen method and metric.",
    all: "Every page that the report holds pictures of.",
  };

  function show() {
    const extreme = mode.value === "worst" || mode.value === "best";
    for (const label of document.querySelectorAll(".strip-extreme")) label.hidden = !extreme;
    byId("strip-note").textContent = `${notes[mode.value]} A picture opens in full.`;
    const tag = extreme ? `${mode.value}:${ranking.value}:${method.value}` : mode.value;
    const fits = (strip) => (tag === "all" || strip.tags.includes(tag)) &&
      (!state.style || strip.style === state.style) && (!state.chapter || strip.chapter === state.chapter);
    for (const strip of strips) {
      strip.article.hidden = !fits(strip);
      for (const figure of strip.article.querySelectorAll("figure")) annotate(strip, figure, extreme ? ranking.value : state.metric);
    }
    const score = (strip) => scores[ranking.value][findRow(strip.style, method.value, strip.chapter, strip.page)?.index] ?? 0;
    const rising = (mode.value === "worst") === data.metrics[ranking.value]?.higher;
    const ordered = extreme ? [...strips].sort((a, b) => (score(a) - score(b)) * (rising ? 1 : -1)) : strips;
    byId("strips").append(...ordered.map((strip) => strip.article), empty);
    empty.hidden = strips.some(fits);
  }

  // The note of a method's picture is its score in the metric; the gray copy's stands below the input.
  function annotate(strip, figure, metric) {
    const baseline = data.methods.find((one) => one.baseline)?.name;
    const name = figure.dataset.key === "input" ? baseline : figure.dataset.key;
    const row = findRow(strip.style, name, strip.chapter, strip.page);
    if (!row) return;
    const whole = ofChapters(metric) ? " of the chapter" : "";
    const text = `${data.metrics[metric].label}${whole} ${format(metric, scoreOf(metric, row))}`;
    figure.querySelector("figcaption span").textContent = figure.dataset.key === "input" ? `gray copy ${text}` : text;
  }
}
