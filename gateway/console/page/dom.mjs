// The little that the views need to make elements. Texts are always texts: nothing that a node or a
// model says becomes markup.

const SVG = 'http://www.w3.org/2000/svg';

const fill = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return element;
};

export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const byId = (id) => document.getElementById(id);
export const show = (id, ...children) => byId(id).replaceChildren(...children);

/// Rows of a table's body; the first cell of each heads it.
export const rows = (id, list) => show(id, ...list.map((cells) => el('tr', {},
  ...cells.map((cell, i) => el(i === 0 ? 'th' : 'td', i === 0 ? { scope: 'row' } : {}, cell)))));

/// Terms and what they are.
export const facts = (id, list) => show(id, ...list.flatMap(([term, value]) => [el('dt', {}, term), el('dd', {}, value)]));

export const say = (id, text, kind = '') => {
  byId(id).className = kind;
  show(id, text);
};
