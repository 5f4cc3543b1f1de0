// The numbers, what is chosen in the bar, and helpers of the parts below.
const data = JSON.parse(byId("data").textContent);
const state = { style: "", chapter: "", metric: data.page_metrics.includes("psnr") ? "psnr" : data.page_metrics[0] };
const listeners = [];

const onChange = (listener) => listeners.push(listener);
const refresh = () => listeners.forEach((listener) => listener());

const number = (value) => (value === "inf" ? Infinity : value);
const scores = Object.fromEntries(Object.entries(data.pages.scores).map(([name, values]) => [name, values.map(number)]));
const rows = data.pages.page.map((page, index) => ({
  index,
  page,
  method: data.methods[data.pages.method[index]].name,
  style: data.styles[data.pages.style[index]],
  chapter: data.chapters[data.pages.chapter[index]],
}));
const rowOf = new Map(rows.map((row) => [[row.style, row.method, row.chapter, row.page].join("/"), row]));
const findRow = (style, method, chapter, page) => rowOf.get([style, method, chapter, page].join("/"));

const methodLabel = (name) => data.methods.find((method) => method.name === name)?.label ?? name;
const methodColor = (name) => `var(--c${data.methods.findIndex((method) => method.name === name) % 8})`;
const shownStyles = () => (state.style ? [state.style] : data.styles);
const methodsOf = (style) => data.methods.map((method) => method.name).filter((name) => rows.some((row) => row.style === style && row.method === name));
// A metric of whole chapters, as colour identity, has a chapter's value for each of its pages; one of whole sets, as FID, has none.
const ofChapters = (metric) => metric in data.chapter_scores;
const chapterScore = (metric, row) => data.chapter_scores[metric][`${row.style}/${row.method}`]?.[data.chapters.indexOf(row.chapter)] ?? null;
const scoreOf = (metric, row) => (ofChapters(metric) ? chapterScore(metric, row) : scores[metric]?.[row.index] ?? null);
const valuesOf = (chosen, metric) => chosen.map((row) => scoreOf(metric, row)).filter((value) => value !== null);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function format(metric, value, signed = false) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const text = Number.isFinite(value) ? Math.abs(value).toFixed(data.metrics[metric].decimals) : "inf";
  if (value < 0) return `−${text}`;
  return signed ? `+${text}` : text;
}

function fillSelect(select, options, value) {
  select.replaceChildren(...options.map(([key, text]) => element("option", { value: key }, text)));
  select.value = value;
}

// Colour and shape, so that methods are told apart without colours too.
const SHAPES = 4;
const methodShape = (name) => data.methods.findIndex((method) => method.name === name) % SHAPES;
const dot = (method) => element("span", { class: "dot", "data-shape": methodShape(method), style: `--color: ${methodColor(method)}`, "aria-hidden": "true" });

{
  fillSelect(byId("style"), [["", "all"], ...data.styles.map((name) => [name, name])], "");
  fillSelect(byId("chapter"), [["", "all"], ...data.chapters.map((name) => [name, name])], "");
  fillSelect(byId("metric"), [...data.page_metrics, ...Object.keys(data.chapter_scores)].map((name) => [name, data.metrics[name].label]), state.metric);
  for (const key of ["style", "chapter", "metric"]) {
    byId(key).addEventListener("change", () => { state[key] = byId(key).value; refresh(); });
  }
  document.body.classList.toggle("one-style", data.styles.length < 2);
  for (const id of ["bar", "differences", "chapters", "pages", "strip-controls"]) byId(id).hidden = false;
}

function chooseChapter(chapter) {
  state.chapter = byId("chapter").value = chapter;
  refresh();
}
