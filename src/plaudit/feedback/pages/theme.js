/* Before the first paint: light or dark as chosen here, else as the system says. */
(() => {
  const root = document.documentElement;
  const names = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" };
  const order = ["auto", "light", "dark"];
  const chosen = () => localStorage.getItem("plaudit.theme") ?? "auto";
  const apply = () => {
    if (chosen() === "auto") delete root.dataset.theme;
    else root.dataset.theme = chosen();
    const button = document.getElementById("theme");
    if (button) button.textContent = names[chosen()];
  };
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      const next = order[(order.indexOf(chosen()) + 1) % order.length];
      localStorage.setItem("plaudit.theme", next);
      apply();
    });
  });
})();
