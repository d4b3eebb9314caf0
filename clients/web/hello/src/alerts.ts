// Refusals as people see them: what the server says, its reason, and which field it means.
import { Code } from "@connectrpc/connect";
import { el } from "./dom.js";
import { failureOf, type Failure } from "./failure.js";

/** Shows why something was refused in `box` and marks the inputs of `area` that the refusal names by `data-field`. */
export function showFailure(box: HTMLElement, thrown: unknown, area?: HTMLElement): void {
  const failure = failureOf(thrown);
  clearFailure(box, area);
  box.dataset["reason"] = failure.reason || Code[failure.code];
  // The message repeats the first field, where there are fields.
  if (failure.fields.length === 0) box.append(el("p", {}, failure.message));
  const items = failure.fields.map(({ path, problem }) => el("li", {}, el("code", {}, path), ` ${problem}`));
  if (items.length > 0) box.append(el("ul", {}, ...items));
  box.append(el("p", { class: "reason" }, reasonLine(failure)));
  box.hidden = false;
  let first: HTMLElement | undefined;
  for (const input of area?.querySelectorAll<HTMLElement>("[data-field]") ?? []) {
    if (!failure.fields.some(({ path }) => path === input.dataset["field"])) continue;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", box.id);
    first ??= input;
  }
  // The controls are disabled until the call has ended; then the first wrong field takes the focus.
  if (first !== undefined) setTimeout(() => first.focus());
}

export function clearFailure(box: HTMLElement, area?: HTMLElement): void {
  box.hidden = true;
  box.replaceChildren();
  delete box.dataset["reason"];
  for (const input of area?.querySelectorAll("[aria-invalid]") ?? []) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}

function reasonLine(failure: Failure): string {
  const pause = failure.pauseMs > 0 ? `; try again in ${Math.ceil(failure.pauseMs / 1000)} s` : "";
  return `Reason: ${failure.reason || Code[failure.code]}${pause}`;
}
