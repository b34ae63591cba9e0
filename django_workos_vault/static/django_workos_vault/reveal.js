// Reveals values in a dialog on the page of their row, and masks them again. Without this file the links
// lead to pages that do the same.
(() => {
    "use strict";

    const LINK = "a.vault-reveal";
    let dialog = null;
    let opener = null;
    let shown = null; // what is shown, and until when by both clocks: one stands still while a computer sleeps
    let asked = 0;

    function mask() {
        if (!shown) {
            return;
        }
        const { part, timer } = shown;
        shown = null;
        clearInterval(timer);
        const box = part.querySelector("[data-vault-shown]");
        const value = box.querySelector("[data-vault-value]");
        const hadFocus = box.contains(document.activeElement);
        value.textContent = "";
        box.remove();
        part.querySelector("[data-vault-masked]").hidden = false;
        if (hadFocus) {
            part.querySelector("[data-vault-close]:not([hidden])")?.focus();
        }
    }

    function check() {
        if (!shown) {
            return;
        }
        const left = Math.min(shown.wall - Date.now(), shown.steady - performance.now());
        if (left <= 0) {
            mask();
        } else {
            shown.part.querySelector("[data-vault-left]").textContent = String(Math.ceil(left / 1000));
        }
    }

    async function copy(value, told) {
        try {
            await navigator.clipboard.writeText(value.textContent);
            told.hidden = false;
        } catch {
            const range = document.createRange(); // to be copied by hand
            range.selectNodeContents(value);
            getSelection().removeAllRanges();
            getSelection().addRange(range);
            value.focus();
        }
    }

    function begin(part) {
        const box = part.querySelector("[data-vault-shown]");
        if (!box) {
            return;
        }
        mask();
        const value = box.querySelector("[data-vault-value]");
        const length = Number(box.dataset.seconds) * 1000;
        const button = box.querySelector("[data-vault-copy]");
        button.hidden = false;
        button.addEventListener("click", () => copy(value, box.querySelector("[data-vault-copied]")));
        shown = {
            part,
            wall: Date.now() + length,
            steady: performance.now() + length,
            timer: setInterval(check, 250),
        };
        value.focus();
    }

    function close() {
        asked += 1;
        mask();
        dialog.replaceChildren();
        if (opener?.isConnected) {
            opener.focus();
        }
        opener = null;
    }

    function put(part) {
        mask();
        if (!dialog) {
            dialog = document.createElement("dialog");
            dialog.className = "vault-dialog";
            dialog.setAttribute("aria-labelledby", "vault-title");
            dialog.addEventListener("close", close);
            document.body.append(dialog);
        }
        dialog.replaceChildren(part);
        if (!dialog.open) {
            dialog.showModal();
        }
        const button = part.querySelector("[data-vault-close]");
        button.hidden = false;
        button.addEventListener("click", () => dialog.close());
        for (const form of part.querySelectorAll("[data-vault-form]")) {
            form.addEventListener("submit", (event) => {
                event.preventDefault();
                for (const each of form.querySelectorAll("button")) {
                    each.disabled = true;
                }
                ask(form.action, { method: "POST", body: new FormData(form) });
            });
        }
        const first = part.querySelector("input:not([type=hidden])");
        (first || button).focus();
        begin(part);
    }

    async function ask(address, options = {}) {
        asked += 1;
        const mine = asked;
        let part = null;
        try {
            const answer = await fetch(address, { cache: "no-store", credentials: "same-origin", ...options });
            const page = new DOMParser().parseFromString(await answer.text(), "text/html");
            part = page.querySelector("[data-vault]");
        } catch {
            part = null;
        }
        if (mine !== asked) {
            return; // closed meanwhile, or asked again
        }
        if (part) {
            put(document.adoptNode(part));
        } else {
            location.assign(address); // logged out, or no connection: the page says so
        }
    }

    document.addEventListener("click", (event) => {
        const link = event.target.closest?.(LINK);
        if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) {
            return;
        }
        event.preventDefault();
        opener = link;
        ask(link.href);
    });
    document.addEventListener("keydown", (event) => {
        if (event.key === " " && event.target.matches?.(LINK)) {
            event.preventDefault();
            event.target.click();
        }
    });

    document.addEventListener("visibilitychange", check);
    document.addEventListener("resume", check);
    addEventListener("focus", check);
    addEventListener("pageshow", check);
    addEventListener("pagehide", () => {
        mask();
        for (const form of document.querySelectorAll("[data-vault-form]")) {
            form.reset(); // what was typed, a password among it
        }
    });

    function start() {
        for (const link of document.querySelectorAll(LINK)) {
            link.setAttribute("role", "button");
            link.setAttribute("aria-haspopup", "dialog");
        }
        const part = document.querySelector("[data-vault]");
        if (part) {
            begin(part);
        }
    }
    if (document.readyState === "loading") {
        document.addEventListener("DOMContentLoaded", start);
    } else {
        start();
    }
})();
