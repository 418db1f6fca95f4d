// What is wrong with a page for somebody's eyes or screen reader. In the page, since only the browser knows.
(() => {
    const wrong = [];
    const root = document.documentElement;
    if (root.scrollWidth > innerWidth) {
        const wide = [...document.querySelectorAll("body *")].find((e) => e.getBoundingClientRect().right > innerWidth + 1);
        wrong.push(`scrolls sideways: ${root.scrollWidth} of ${innerWidth}, ${wide?.outerHTML.slice(0, 200)}`);
    }
    const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) wrong.push(`id ${id} is there twice`);
    for (const e of document.querySelectorAll("[aria-describedby], [aria-labelledby]")) {
        const names = `${e.getAttribute("aria-describedby") ?? ""} ${e.getAttribute("aria-labelledby") ?? ""}`.trim();
        for (const id of names.split(/\s+/)) if (!document.getElementById(id)) wrong.push(`nothing has the id ${id}`);
    }
    for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
        if (!e.labels.length) wrong.push(`no label: ${e.outerHTML}`);
    for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) wrong.push(`no alt: ${e.outerHTML}`);
    for (const e of document.querySelectorAll("th")) if (!e.scope) wrong.push(`no scope: ${e.outerHTML}`);
    if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
    if (!document.title.trim()) wrong.push("no title");

    for (const e of document.querySelectorAll(".number, .stats b, .stats dd, td, dd"))
        if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible" && /^[\s\d.,/%]+$/.test(e.textContent))
            wrong.push(`a number is cut: ${e.outerHTML.slice(0, 120)}`);

    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (color) => {
        const [r, g, b] = color.map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const color = rgba(getComputedStyle(e).backgroundColor);
            if (color[3] === 255) return color;
        }
        return [255, 255, 255, 255];
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const seen = new Set();
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || seen.has(e) || e.closest("svg, .hidden, datalist, option, script")) continue;
        seen.add(e);
        if (!e.checkVisibility()) continue;
        const style = getComputedStyle(e);
        const [a, b] = [luminance(rgba(style.color)), luminance(ground(e))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        if (contrast < (large ? 3 : 4.5)) wrong.push(`contrast ${contrast.toFixed(2)}: ${e.outerHTML.slice(0, 120)}`);
    }
    return wrong;
})()
