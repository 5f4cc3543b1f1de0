// Light or dark: the system's choice until the button is pressed; kept for the next visit where the browser lets a page.
{
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const stored = () => { try { return localStorage.getItem("page-theme"); } catch { return null; } };
  let chosen = stored();

  const show = () => {
    const theme = chosen ?? (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    button.textContent = theme === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${theme === "dark" ? "light" : "dark"} colours`);
  };

  button.addEventListener("click", () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("page-theme", chosen); } catch { /* a page from a file may not store */ }
    show();
  });
  system.addEventListener("change", show);
  button.hidden = false;
  show();
}
