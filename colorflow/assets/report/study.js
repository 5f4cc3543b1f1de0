// A blind study: questions and candidates in an order of each voter's own, ranks by buttons, keys or drag, votes as a file.
{
  const data = JSON.parse(byId("data").textContent);
  const given = new URLSearchParams(location.search).get("voter") ?? "";
  const store = `study-${data.study}-${given}`;
  const LETTERS = "ABCDEFGHI";
  let voter, screens, at = 0, order = [], answers = {}, shownAt = 0, last = "";

  // A number that is the same for the same text: sorting by it shuffles, by voter, without any state.
  // FNV-1a, whose last characters would hardly reach the high bits, stirred with two of xxHash's primes.
  function hash(text) {
    let value = 2166136261;
    for (const sign of text) value = Math.imul(value ^ sign.codePointAt(0), 16777619);
    value = Math.imul(value ^ (value >>> 15), 2246822519);
    value = Math.imul(value ^ (value >>> 13), 3266489917);
    return (value ^ (value >>> 16)) >>> 0;
  }
  const shuffled = (items, name, seed) => [...items].sort((a, b) => hash(`${seed}/${name(a)}`) - hash(`${seed}/${name(b)}`));

  // All criteria of a page in a row: the one without the original first.
  function arrange() {
    screens = shuffled(data.questions, (one) => one.id, voter).flatMap((question) => data.criteria.map((criterion) => ({
      question, criterion, key: `${question.id}/${criterion.key}`,
      codes: shuffled(question.codes, (code) => code, `${voter}/${question.id}/${criterion.key}`),
    })));
  }

  const load = () => { try { return JSON.parse(localStorage.getItem(store)); } catch { return null; } };
  const keep = () => { try { localStorage.setItem(store, JSON.stringify({ voter, answers })); } catch { /* a page from a file may not store */ } };
  const show = (id) => { for (const name of ["start", "question", "end"]) byId(name).hidden = name !== id; };

  function start() {
    const before = load();
    byId("start-count").textContent = data.questions.length * data.criteria.length;
    byId("resume").hidden = !before;
    if (before) byId("begin").textContent = "Begin anew, without my answers";
    byId("begin").classList.toggle("primary", !before);
    byId("begin").addEventListener("click", () => begin({ voter: newVoter(), answers: {} }));
    byId("resume").addEventListener("click", () => begin(before));
    show("start");
  }

  // An organiser may give ids by the address, ?voter=NAME; otherwise it is drawn, and says nothing of the person.
  function newVoter() {
    return given || [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function begin(state) {
    ({ voter, answers } = state);
    arrange();
    const open = screens.findIndex((screen) => !answers[screen.key]);
    open < 0 ? finish() : go(open);
  }

  function go(index) {
    at = index;
    byId("save").hidden = false;
    const { key, criterion } = screens[at];
    order = [...(answers[key]?.order ?? Array(screens[at].codes.length).fill(null))];
    shownAt = performance.now();
    last = "";
    byId("asked").textContent = criterion.question;
    byId("progress").textContent = `Question ${at + 1} of ${screens.length}`;
    byId("strips").replaceChildren(candidates());
    byId("question").classList.toggle("sequence", criterion.shows === "sequence");
    show("question");
    draw();
    byId("asked").focus();
    scrollTo(0, 0);
    preload(screens[at + 1]);
  }

  const source = (screen, code) => `pictures/${screen.question.id}/${code}-${screen.criterion.shows}.webp`;
  const besideOf = (screen) => screen.criterion.beside && `pictures/${screen.question.id}/${screen.criterion.beside}.webp`;
  function preload(screen) {
    if (screen) for (const link of [...screen.codes.map((code) => source(screen, code)), besideOf(screen)]) if (link) new Image().src = link;
  }

  function candidates() {
    const screen = screens[at];
    const beside = besideOf(screen);
    const figures = screen.codes.map((code, i) => candidate(code, LETTERS[i], source(screen, code)));
    if (beside) {
      const [key, name] = screen.criterion.beside === "original" ? ["truth", "Original"] : ["references", "Reference pages"];
      figures.unshift(element("figure", { class: "beside", "data-key": key }, picture(beside, name), element("figcaption", {}, element("b", {}, name), element("span"))));
    }
    const sequence = screen.criterion.shows === "sequence";
    const columns = sequence ? (figures.length > 4 ? 3 : 2) : Math.min(figures.length, 6);
    const rows = Math.ceil(figures.length / columns);
    const strip = element("div", { class: "strip", style: `--columns: ${columns}; --rows: ${rows}` }, ...figures);
    return element("article", { "data-chapter": "question", "data-page": String(at + 1) }, strip);
  }

  const picture = (link, name) => element("a", { href: link, draggable: "false" }, element("img", { src: link, alt: `${name}, opens in full`, draggable: "false" }));

  function candidate(code, letter, link) {
    const buttons = order.map((_, i) => {
      const button = element("button", { type: "button", "aria-label": `${letter} on place ${i + 1}` }, String(i + 1));
      button.addEventListener("click", () => place(code, i));
      return button;
    });
    const figure = element("figure", { "data-key": code, "data-letter": letter, draggable: "true" }, picture(link, letter),
      element("figcaption", {}, element("b", {}, letter), element("span"), element("div", { class: "ranks", role: "group", "aria-label": `Place of ${letter}` }, ...buttons)));
    figure.addEventListener("dragstart", (event) => { event.dataTransfer.setData("text/plain", code); event.dataTransfer.effectAllowed = "move"; figure.classList.add("dragged"); });
    figure.addEventListener("dragend", () => figure.classList.remove("dragged"));
    return figure;
  }

  // Whoever held the place goes where the newcomer came from, or nowhere.
  function place(code, index) {
    const from = order.indexOf(code);
    if (from === index) order[index] = null;
    else {
      if (from >= 0) order[from] = order[index];
      order[index] = code;
    }
    last = order.includes(code) ? code : "";
    draw();
  }

  function draw() {
    const letter = (code) => byId("strips").querySelector(`[data-key="${code}"]`).dataset.letter;
    for (const figure of byId("strips").querySelectorAll("[data-letter]")) {
      const rank = order.indexOf(figure.dataset.key);
      figure.classList.toggle("ranked", rank >= 0);
      figure.querySelectorAll(".ranks button").forEach((button, i) => button.setAttribute("aria-pressed", String(i === rank)));
    }
    byId("places").replaceChildren(...order.map((code, i) => {
      const hint = i === 0 ? "best" : i === order.length - 1 ? "worst" : String(i + 1);
      const slot = element("li", { class: code ? "full" : "", "aria-label": `Place ${i + 1}: ${code ? letter(code) : "empty"}` }, element("b", {}, code ? letter(code) : ""), element("span", {}, hint));
      slot.addEventListener("dragover", (event) => { event.preventDefault(); slot.classList.add("over"); });
      slot.addEventListener("dragleave", () => slot.classList.remove("over"));
      slot.addEventListener("drop", (event) => { event.preventDefault(); place(event.dataTransfer.getData("text/plain"), i); });
      return slot;
    }));
    byId("next").disabled = order.includes(null);
    byId("back").disabled = at === 0;
    const percent = Math.round(100 * Object.keys(answers).length / screens.length);
    byId("track").setAttribute("aria-valuenow", percent);
    byId("track").firstElementChild.style.width = `${percent}%`;
  }

  function next() {
    if (order.includes(null)) return;
    const { key, codes } = screens[at];
    const seconds = Math.round((performance.now() - shownAt) / 1000) + (answers[key]?.seconds ?? 0);
    answers[key] = { order: [...order], shown: codes, seconds };
    keep();
    const open = screens.findIndex((screen, i) => i > at && !answers[screen.key]);
    open >= 0 ? go(open) : screens.every((screen) => answers[screen.key]) ? finish() : go(screens.findIndex((screen) => !answers[screen.key]));
  }

  function finish() {
    show("end");
    byId("save").hidden = true;
    byId("progress").textContent = "All questions answered";
    byId("track").setAttribute("aria-valuenow", 100);
    byId("track").firstElementChild.style.width = "100%";
    byId("end-text").textContent = `You ranked ${screens.length} times. Save the file and send it to whoever asked you.`;
    byId("end").querySelector("h1").focus();
  }

  function save() {
    const rankings = screens.filter((screen) => answers[screen.key])
      .map((screen) => ({ question: screen.question.id, criterion: screen.criterion.key, ...answers[screen.key] }));
    const votes = { version: data.version, study: data.study, voter, saved: new Date().toISOString(), rankings };
    const url = URL.createObjectURL(new Blob([JSON.stringify(votes, null, 1)], { type: "application/json" }));
    const link = element("a", { href: url, download: `votes-${voter.replace(/[^\w-]/g, "_")}.json` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    byId("saved").textContent = `Saved ${rankings.length} of ${screens.length} answers as ${link.download}.`;
  }

  document.addEventListener("keydown", (event) => {
    if (byId("question").hidden || byId("zoom").open || event.ctrlKey || event.metaKey || event.altKey) return;
    const figure = byId("strips").querySelector(`[data-letter="${event.key.toUpperCase()}"]`);
    const focused = document.activeElement.closest?.("[data-letter]");
    const digit = Number(event.key) - 1;
    if (figure && event.key.length === 1) {
      const code = figure.dataset.key;
      const free = order.indexOf(null);
      if (order.includes(code)) place(code, order.indexOf(code));
      else if (free >= 0) place(code, free);
    } else if (focused && digit >= 0 && digit < order.length) place(focused.dataset.key, digit);
    else if (event.key === "Backspace" && order.includes(last)) place(last, order.indexOf(last));
    else if (event.key === "Enter" && !document.activeElement.closest("button, a")) next();
    else return;
    event.preventDefault();
  });
  byId("next").addEventListener("click", next);
  byId("back").addEventListener("click", () => go(Math.max(0, at - 1)));
  byId("clear").addEventListener("click", () => { order.fill(null); draw(); });
  byId("change").addEventListener("click", () => go(screens.length - 1));
  for (const id of ["save", "save-end"]) byId(id).addEventListener("click", save);
  start();
}
