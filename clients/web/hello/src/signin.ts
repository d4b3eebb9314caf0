// The form that signs in, and the word that a server with demo data has a login for everybody.
import { clearFailure, showFailure } from "./alerts.js";
import type { Clients } from "./clients.js";
import { button, part, say, whileBusy } from "./dom.js";
import { repeat } from "./repeat.js";
import type { Session } from "./session.js";

// Only a server that was started with --demo has this account; see server/marketd/demo/defaults.py.
const DEMO_LOGIN = "visitor@demo.example.com";
const DEMO_PASSWORD = "demo-market-2026";

export function mountSignIn(clients: Clients, session: Session, onChange: (name: string | undefined) => void): void {
  const form = part("sign-in", HTMLFormElement);
  const login = part("login", HTMLInputElement);
  const password = part("password", HTMLInputElement);
  const box = part("sign-in-failure", HTMLElement);
  const who = part("who", HTMLElement);
  const leave = part("sign-out", HTMLButtonElement);

  const show = (name: string | undefined): void => {
    form.hidden = name !== undefined;
    leave.hidden = name === undefined;
    say(who, name === undefined ? "Not signed in" : `Signed in as ${name}`);
    onChange(name);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearFailure(box, form);
    void whileBusy(form, async () => {
      try {
        const name = await repeat(() => session.signIn(login.value, password.value));
        password.value = "";
        show(name);
      } catch (error) {
        showFailure(box, error, form);
      }
    });
  });
  leave.addEventListener("click", () => {
    void session.signOut();
    show(undefined);
    login.focus();
  });
  session.onEnd = (why) => {
    show(undefined);
    showFailure(box, why);
  };
  void offerDemo(clients, login, password);
}

async function offerDemo(clients: Clients, login: HTMLInputElement, password: HTMLInputElement): Promise<void> {
  const { serverInfo } = await repeat(() => clients.server.getServerInfo({}));
  if (!serverInfo?.demo) return;
  const hint = part("demo-login", HTMLElement);
  const fill = button("Fill it in", () => {
    login.value = DEMO_LOGIN;
    password.value = DEMO_PASSWORD;
    part("sign-in-now", HTMLButtonElement).focus();
  });
  hint.replaceChildren(`This is a demo: sign in as ${DEMO_LOGIN} with the password ${DEMO_PASSWORD}. `, fill);
  hint.hidden = false;
}
