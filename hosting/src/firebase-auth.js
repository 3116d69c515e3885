// Sign-in by Firebase Authentication, with Firebase's SDK. `npm run bundle` makes public/js/firebase-auth.js of it.

import { initializeApp } from "@firebase/app";
import {
  GoogleAuthProvider,
  browserLocalPersistence,
  browserPopupRedirectResolver,
  indexedDBLocalPersistence,
  initializeAuth,
  isSignInWithEmailLink,
  onAuthStateChanged,
  sendSignInLinkToEmail,
  signInWithEmailLink,
  signInWithPopup,
  signOut,
} from "@firebase/auth";

/** Firebase Authentication of the project with that configuration. The methods resolve to a session, or null. */
export class FirebaseAuth {
  constructor(config) {
    this.auth = initializeAuth(initializeApp(config), {
      persistence: [indexedDBLocalPersistence, browserLocalPersistence],
      popupRedirectResolver: browserPopupRedirectResolver,
    });
    this.auth.useDeviceLanguage();
  }

  /** The session that this browser has. */
  async restored() {
    await this.auth.authStateReady();
    return this.session(this.auth.currentUser);
  }

  async withGoogle() {
    const { user } = await signInWithPopup(this.auth, new GoogleAuthProvider());
    return this.session(user);
  }

  /** Sends a link to that address, which leads back to this page. */
  sendLink(email) {
    return sendSignInLinkToEmail(this.auth, email, { url: `${location.origin}/`, handleCodeInApp: true });
  }

  isLink(url) {
    return isSignInWithEmailLink(this.auth, url);
  }

  async withLink(email, url) {
    const { user } = await signInWithEmailLink(this.auth, email, url);
    return this.session(user);
  }

  /** Calls `listener` when the person signs out, also in another tab. */
  onSignedOut(listener) {
    let signedIn = false;
    onAuthStateChanged(this.auth, (user) => {
      if (signedIn && !user) {
        listener();
      }
      signedIn = Boolean(user);
    });
  }

  /** A session whose token is renewed shortly before it expires. */
  session(user) {
    return user && { user: user.email ?? user.uid, token: () => user.getIdToken(), end: () => signOut(this.auth) };
  }
}
