// Drawing: elements, and axes with round numbers.
function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// The mark of a method: a disc, diamond, square or triangle of about equal area.
function mark(method, x, y, attributes = {}) {
  const outline = [
    `M${x - 6} ${y}a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z`,
    `M${x} ${y - 7.5}l7.5 7.5l-7.5 7.5l-7.5 -7.5z`,
    `M${x - 5.5} ${y - 5.5}h11v11h-11z`,
    `M${x} ${y - 7.5}l7 12.5h-14z`,
  ][methodShape(method)];
  return svg("path", { class: "mean", d: outline, style: `--color: ${methodColor(method)}`, ...attributes });
}

// About `count` round numbers that lie within [low, high].
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const made = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) made.push(value);
  return { values: made, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

const scale = (low, high, from, to) => (value) => from + ((Math.min(Math.max(value, low), high) - low) / (high - low)) * (to - from);
