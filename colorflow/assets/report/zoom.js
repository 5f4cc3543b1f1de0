// A picture over the whole window; place and size are kept from one picture to the next, so that they can be compared.
const openZoom = (() => {
  const dialog = byId("zoom"), stage = byId("stage"), image = byId("zoom-image");
  let article, key, view = { scale: 1, x: 0, y: 0 }, opener = null, held = null;

  const figures = () => [...article.querySelectorAll("figure")];
  const articles = () => [...byId("strips").querySelectorAll("article:not([hidden])")];

  function open(at, name, from) {
    [article, key, opener] = [at, name, from];
    view = { scale: 1, x: 0, y: 0 };
    if (!dialog.open) dialog.showModal();
    show();
  }

  function show() {
    const figure = figures().find((one) => one.dataset.key === key) ?? figures()[0];
    const link = figure.querySelector("a")?.getAttribute("href");
    const title = figure.querySelector("b").textContent;
    if (link) image.src = link;
    image.alt = `${title}, page ${article.dataset.chapter}/${article.dataset.page}`;
    image.hidden = !link;
    byId("zoom-missing").hidden = Boolean(link);
    byId("zoom-title").textContent = title;
    byId("zoom-note").textContent = [`${article.dataset.chapter}/${article.dataset.page}`, figure.querySelector("figcaption span").textContent].filter((text, i, all) => text && all.indexOf(text) === i).join(" · ");
    byId("zoom-figures").replaceChildren(...figures().map((one, i) => {
      const button = element("button", { type: "button", "aria-current": String(one === figure) }, one.querySelector("b").textContent, " ", element("small", {}, i < 9 ? String(i + 1) : ""));
      button.addEventListener("click", () => turn(one.dataset.key));
      return button;
    }));
    byId("zoom-figures").querySelector("[aria-current=true]").scrollIntoView({ block: "nearest", inline: "nearest" });
    place();
  }

  function place() {
    image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    const drawn = Math.min(stage.clientWidth / image.naturalWidth, stage.clientHeight / image.naturalHeight) * view.scale;
    image.classList.toggle("pixels", drawn > 3);
    byId("zoom-fit").textContent = view.scale === 1 ? "Fit" : `${Math.round(100 * view.scale)} %`;
    dialog.dataset.scale = view.scale.toFixed(2);
  }

  // Zoom so that the point under (x, y), measured from the middle of the stage, stays where it is.
  function zoom(factor, x = 0, y = 0) {
    const scale = Math.min(16, Math.max(1, view.scale * factor));
    const ratio = scale / view.scale;
    view = scale === 1 ? { scale, x: 0, y: 0 } : { scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio };
    place();
  }

  function turn(name) {
    const focused = byId("zoom-figures").contains(document.activeElement);
    key = name;
    show();
    if (focused) byId("zoom-figures").querySelector("[aria-current=true]").focus();
  }

  const step = (items, current, by) => items[(items.indexOf(current) + by + items.length) % items.length];
  const stepFigure = (by) => turn(step(figures().map((one) => one.dataset.key), key, by));
  function stepPage(by) {
    const all = articles(); // none where the filters hide every strip and the table of pages opened this one
    if (!all.length) return;
    article = step(all, article, by);
    show();
  }

  const keys = {
    ArrowRight: () => stepFigure(1), ArrowLeft: () => stepFigure(-1), ArrowDown: () => stepPage(1), ArrowUp: () => stepPage(-1),
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: () => zoom(0),
  };
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.toLowerCase() === "o" && !event.repeat && key !== "truth" && figures().some((one) => one.dataset.key === "truth")) { held = key; turn("truth"); }
    const figure = figures()[Number(event.key) - 1];
    const act = figure && event.key !== "0" ? () => turn(figure.dataset.key) : keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  dialog.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "o" && held) { turn(held); held = null; }
  });
  dialog.addEventListener("close", () => opener?.focus());

  const middle = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  };
  const fingers = new Map();
  stage.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), ...middle(event)); }, { passive: false });
  stage.addEventListener("dblclick", (event) => zoom(view.scale > 1 ? 0 : 3, ...middle(event)));
  stage.addEventListener("pointerdown", (event) => { event.preventDefault(); stage.setPointerCapture(event.pointerId); fingers.set(event.pointerId, middle(event)); });
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => fingers.delete(event.pointerId));
  stage.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = middle(event), other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) zoom(Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.hypot(before[0] - other[0], before[1] - other[1]), ...other);
    else if (view.scale > 1) { view.x += now[0] - before[0]; view.y += now[1] - before[1]; place(); }
    fingers.set(event.pointerId, now);
  });

  image.addEventListener("load", place);
  byId("zoom-in").addEventListener("click", () => zoom(1.5));
  byId("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  byId("zoom-fit").addEventListener("click", () => zoom(0));
  byId("zoom-close").addEventListener("click", () => dialog.close());
  byId("strips").addEventListener("click", (event) => {
    const link = event.target.closest("figure a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(link.closest("article"), link.closest("figure").dataset.key, link);
  });
  return open;
})();
