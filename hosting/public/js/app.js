// The page of the Export Service: shows the jobs of whoever is signed in, else how to sign in.

import { $ } from "./dom.js";
import * as firebase from "./firebase.js";
import { returnFromHub } from "./hub-account.js";
import * as jobs from "./jobs.js";
import { currentSession, sessionEvents, signOut } from "./session.js";
import * as signIn from "./sign-in.js";

function draw({ expired = false } = {}) {
  const session = currentSession();
  $("#session").hidden = !session;
  $("#jobs-section").hidden = !session;
  $("#sign-in").hidden = Boolean(session);
  if (!session) {
    signIn.show({ expired, keeps: jobs.isLoaded() });
    return;
  }
  $("#who").textContent = `Signed in as ${session.user}`;
  jobs.show(session);
}

sessionEvents.addEventListener("expired", () => {
  draw({ expired: true });
  $("#sign-in-title").focus();
});
sessionEvents.addEventListener("changed", () => {
  if (!currentSession()) {
    jobs.clear();
  }
  draw();
  $(currentSession() ? "#jobs-title" : "#sign-in-title").focus();
});
$("#sign-out").addEventListener("click", signOut);
signIn.initialize();
jobs.initialize();
returnFromHub();
// draws by itself where somebody is signed in
await firebase.restore();
draw();
