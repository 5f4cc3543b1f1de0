// Helpers of every page.
const byId = (id) => document.getElementById(id);

// element("td", {class: "number"}, "text", child)
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
