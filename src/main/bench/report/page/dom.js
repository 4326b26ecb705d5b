/** Owns making elements. Whatever was said by an agent or a user only ever becomes a text node or the value of a harmless attribute. */

const SVG = 'http://www.w3.org/2000/svg';

/** Makes an element: `el('p', { class: 'note' }, 'text', child)`. What is null or false is left out. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same in SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? '' : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

/** The class that gives a mark its agent's colour. */
export function seriesClass(i) {
  return `series-${i % 8}${i >= 8 ? ' again' : ''}`;
}

export function swatch(i) {
  return el('span', { class: `swatch ${seriesClass(i)}`, 'aria-hidden': 'true' });
}

export function section(id, title, intro, ...children) {
  const heading = `${id}-title`;
  return el(
    'section',
    { id, 'aria-labelledby': heading },
    el('h2', { id: heading }, title),
    intro && el('p', { class: 'intro' }, intro),
    ...children,
  );
}

const tip = document.getElementById('tip');

/** Shows a text beside a mark while it is pointed at or has the focus; readers hear it as the mark's name. */
export function withTip(mark, text) {
  mark.setAttribute('aria-label', text);
  mark.setAttribute('tabindex', '0');
  mark.setAttribute('role', 'img');
  mark.classList.add('mark');
  mark.addEventListener('pointerenter', () => showTip(mark, text));
  mark.addEventListener('focus', () => showTip(mark, text));
  mark.addEventListener('pointerleave', hideTip);
  mark.addEventListener('blur', hideTip);
  return mark;
}

function showTip(mark, text) {
  tip.textContent = text;
  tip.hidden = false;
  const box = mark.getBoundingClientRect();
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left + box.width / 2 - width / 2), innerWidth - width - 8);
  const above = box.top - height - 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${above < 8 ? box.bottom + 8 : above}px`;
}

export function hideTip() {
  tip.hidden = true;
}
