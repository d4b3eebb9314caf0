// Elements without a framework. Text is always text: nothing here takes markup.

type Child = Node | string;
type Attributes = Record<string, string | number | boolean | undefined>;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/** The element of index.html with this id; it is there, and of this kind, or the page is broken. */
export function part<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`index.html has no ${kind.name} #${id}`);
  return found;
}

export function button(label: string, press: () => void | Promise<void>, attributes: Attributes = {}): HTMLButtonElement {
  const made = el("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", () => void press());
  return made;
}

/** Sets the text where it is another one, so that screen readers do not hear the same again. */
export function say(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Runs `work` while the controls in `area` are disabled, so that nobody does a thing twice by pressing twice. */
export async function whileBusy(area: HTMLElement, work: () => Promise<void>): Promise<void> {
  const focused = document.activeElement;
  const controls = [...area.querySelectorAll<HTMLButtonElement | HTMLInputElement>("button, input, select")].filter(
    (control) => !control.disabled,
  );
  for (const control of controls) control.disabled = true;
  area.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    for (const control of controls) control.disabled = false;
    area.removeAttribute("aria-busy");
    if (focused instanceof HTMLElement && focused.isConnected && document.activeElement === document.body) focused.focus();
  }
}
