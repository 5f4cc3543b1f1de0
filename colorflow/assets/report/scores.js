// The score table: sorting, filters, and means of one chapter.
// A sort button in each head of a table; `read` gives the value of a row in a column: a number, a text, or null (comes last).
function makeSortable(table, order) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (head.hasAttribute("data-plain")) return;
    const button = element("button", { type: "button" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const first = head.dataset.metric && data.metrics[head.dataset.metric].higher ? "descending" : "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", before === first ? second : first);
      order(column, head, before === first ? second === "descending" : first === "descending");
    });
  });
}

const natural = new Intl.Collator("en", { numeric: true });
function compare(one, other, descending) {
  if (one === null || other === null) return (one === null) - (other === null);
  const sign = typeof one === "number" ? Math.sign(one - other) || 0 : natural.compare(one, other);
  return descending ? -sign : sign;
}

{
  const table = byId("score-table");
  const body = table.tBodies[0];
  const lines = [...body.rows].map((row) => ({
    row,
    paper: row.classList.contains("paper"),
    cells: [...row.querySelectorAll("td.number")].map((cell) => ({ cell, html: cell.innerHTML, name: cell.className, value: cell.dataset.value })),
  }));

  const cellValue = (cell) => {
    if (!("value" in cell.dataset)) return cell.textContent;
    return cell.dataset.value === "" ? null : Number(cell.dataset.value === "inf" ? Infinity : cell.dataset.value);
  };

  makeSortable(table, (column, head, descending) => {
    const sorted = lines.map(({ row }) => row).sort((a, b) => compare(cellValue(a.cells[column]), cellValue(b.cells[column]), descending));
    body.append(...sorted);
  });

  for (const { row } of lines) if (!row.className) row.cells[0].prepend(dot(row.dataset.method));

  function restore() {
    for (const { cells } of lines) for (const { cell, html, name, value } of cells) {
      cell.innerHTML = html;
      cell.className = name;
      cell.dataset.value = value;
    }
  }

  // Means of the chosen chapter; a metric of sets of pages has none.
  function showChapter() {
    for (const { row, paper, cells } of lines) {
      if (paper) continue;
      const chosen = rows.filter((page) => page.style === row.dataset.style && page.method === row.dataset.method && page.chapter === state.chapter);
      for (const { cell } of cells) {
        const metric = cell.dataset.metric;
        const values = metric ? valuesOf(chosen, metric) : [];
        const value = metric ? (values.length ? mean(values) : null) : chosen.length;
        cell.classList.remove("best");
        cell.dataset.value = value === Infinity ? "inf" : value ?? "";
        cell.textContent = metric ? format(metric, value) : String(value);
      }
    }
    for (const style of data.styles) for (const metric of [...data.page_metrics, ...Object.keys(data.chapter_scores)]) markBest(style, metric);
  }

  function markBest(style, metric) {
    const cells = lines.filter(({ row, paper }) => !paper && row.dataset.style === style)
      .map(({ row }) => row.querySelector(`td[data-metric="${metric}"]`)).filter((cell) => cell && cell.dataset.value !== "");
    const values = cells.map(cellValue);
    const best = data.metrics[metric].higher ? Math.max(...values) : Math.min(...values);
    if (cells.length > 1) cells.forEach((cell, i) => cell.classList.toggle("best", values[i] === best));
  }

  onChange(() => {
    restore();
    if (state.chapter) showChapter();
    for (const { row, paper } of lines) row.hidden = (state.style && row.dataset.style !== state.style) || (paper && Boolean(state.chapter));
    for (const head of table.tHead.rows[0].cells) head.classList.toggle("chosen", head.dataset.metric === state.metric);
    byId("score-note").textContent = state.chapter
      ? `Means over the pages of ${state.chapter}; no interval from a single chapter.`
      : "Best of our rows in green. A click on a heading sorts.";
  });
}
