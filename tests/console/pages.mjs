// What is asked of every view of the console, in the page itself: names of controls, and contrast.

/// Controls that a screen reader could not name.
export const unnamedControls = () => [...document.querySelectorAll('input, select, textarea, button, a[href]')]
  .filter((e) => {
    const byLabel = e.labels ? [...e.labels].map((l) => l.textContent).join('') : '';
    const byText = ['A', 'BUTTON'].includes(e.tagName) ? e.textContent : '';
    return `${byLabel}${byText}${e.getAttribute('aria-label') ?? ''}`.trim() === '';
  }).map((e) => e.outerHTML);

/// Texts with less contrast than 4.5 to what is behind them (WCAG 2.1, 1.4.3).
export const faintTexts = () => {
  const channels = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const part = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = channels(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) { return colour; }
    }
    return [255, 255, 255];
  };
  const faint = [];
  const look = (element, text) => {
    const style = getComputedStyle(element);
    const colour = channels(element.namespaceURI.endsWith('svg') ? style.fill : style.color);
    const [low, high] = [light(colour), light(ground(element))].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) { faint.push(`${contrast.toFixed(2)}: ${text.trim().slice(0, 40)} (${element.tagName})`); }
    return 1;
  };
  let seen = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const box = node.parentElement.getBoundingClientRect();
    if (node.textContent.trim() !== '' && box.width > 0 && box.height > 0) { seen += look(node.parentElement, node.textContent); }
  }
  for (const field of document.querySelectorAll('input, select, textarea')) {
    if (field.getBoundingClientRect().width > 0) { seen += look(field, field.value || field.id); }
  }
  return { faint, seen };
};
