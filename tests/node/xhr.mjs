// XMLHttpRequest as far as grpc-web needs it, for Node, which has none: one POST, bytes out and bytes back.
import { request as ask } from "node:http";

globalThis.XMLHttpRequest = class {
  #headers = {};
  #answered = {};

  open(method, url) {
    Object.assign(this, { method, url });
  }

  setRequestHeader(name, value) {
    this.#headers[name] = value;
  }

  getResponseHeader(name) {
    return this.#answered[name] ?? null;
  }

  send(body) {
    const sent = ask(this.url, { method: this.method, headers: this.#headers, timeout: this.timeout }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => {
        const whole = Buffer.concat(parts);
        this.status = answer.statusCode;
        this.#answered = answer.headers;
        this.response = whole.buffer.slice(whole.byteOffset, whole.byteOffset + whole.length);
        this.onload();
      });
    });
    sent.on("timeout", () => this.ontimeout());
    sent.on("error", () => this.onerror());
    sent.end(body);
  }
};
