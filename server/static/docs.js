// What Swagger UI leaves without a name, or puts into a button although it can be reached by keyboard itself.
(() => {
  const name = (field) => {
    const row = field.closest("tr");
    const parameter = row?.querySelector(".parameter__name")?.firstChild?.textContent;
    if (parameter) return parameter;
    if (field.matches(".examples-select-element")) return "Example";
    if (field.matches(".body-param__text")) return "Request body";
    if (field.closest(".scheme-container, .auth-container")) return "Key";
    return "Media type";
  };
  const mend = () => {
    for (const field of document.querySelectorAll("select:not([aria-label]), textarea:not([aria-label]), input:not([aria-label])"))
      if (!field.labels?.length) field.setAttribute("aria-label", name(field));
    for (const inner of document.querySelectorAll(".opblock-summary-control [tabindex], .opblock-summary-control a[href]")) {
      inner.removeAttribute("tabindex");
      inner.removeAttribute("href");
    }
    for (const code of document.querySelectorAll("pre:not([tabindex])")) code.tabIndex = 0;
    for (const button of document.querySelectorAll("button:not([aria-label])"))
      if (!button.textContent.trim() && !button.title) button.setAttribute("aria-label", button.className.includes("authorization") ? "Authorize" : "Show");
  };
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["href", "tabindex"] });
  mend();
})();
