// Which strips are shown and in what order, and the notes below their pictures.
{
  const strips = [...byId("strips").children].map((article) => ({ article, ...article.dataset, tags: article.dataset.tags.split(" ") }));
  const mode = byId("strip-mode"), method = byId("strip-method");
  const empty = element("p", { class: "note", hidden: "" }, "No picture of this kind here; the table below lists every page.");
  byId("strips").append(empty);
  const colored = data.methods.filter((one) => !one.baseline);
  fillSelect(method, colored.map((one) => [one.name, one.label]), colored[0]?.name ?? "");
  if (!colored.length) for (const name of ["worst", "best"]) mode.querySelector(`[value=${name}]`).remove();
  mode.addEventListener("change", show);
  method.addEventListener("change", show);
  onChange(show);

  const notes = {
    even: "Spread evenly over the chapters, not picked for their results.",
    worst: "The lowest PSNR of the chosen method first.",
    best: "The highest PSNR of the chosen method first.",
    all: "Every page that the report holds pictures of.",
  };

  function show() {
    const extreme = mode.value === "worst" || mode.value === "best";
    byId("strip-of").hidden = !extreme;
    byId("strip-note").textContent = `${notes[mode.value]} A picture opens in full.`;
    const tag = extreme ? `${mode.value}:${method.value}` : mode.value;
    const fits = (strip) => (tag === "all" || strip.tags.includes(tag)) &&
      (!state.style || strip.style === state.style) && (!state.chapter || strip.chapter === state.chapter);
    for (const strip of strips) {
      strip.article.hidden = !fits(strip);
      for (const figure of strip.article.querySelectorAll("figure")) annotate(strip, figure);
    }
    const psnr = (strip) => scores.psnr[findRow(strip.style, method.value, strip.chapter, strip.page)?.index] ?? 0;
    const ordered = extreme ? [...strips].sort((a, b) => (psnr(a) - psnr(b)) * (mode.value === "worst" ? 1 : -1)) : strips;
    byId("strips").append(...ordered.map((strip) => strip.article), empty);
    empty.hidden = strips.some(fits);
  }

  // The note of a method's picture is its score in the chosen metric; the gray copy's stands below the input.
  function annotate(strip, figure) {
    const baseline = data.methods.find((one) => one.baseline)?.name;
    const name = figure.dataset.key === "input" ? baseline : figure.dataset.key;
    const row = findRow(strip.style, name, strip.chapter, strip.page);
    if (!row) return;
    const text = `${data.metrics[state.metric].label} ${format(state.metric, scores[state.metric][row.index])}`;
    figure.querySelector("figcaption span").textContent = figure.dataset.key === "input" ? `gray copy ${text}` : text;
  }
}
