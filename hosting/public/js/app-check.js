// App Check: proves to the service that this page sends the request, where the deployment requires it.

/** The settings of App Check, or null where the deployment does not require it. */
let loading;
let appToken = { header: {}, until: Infinity };

async function load() {
  const response = await fetch("/app-check.json").catch(() => null);
  if (!response?.ok || !response.headers.get("Content-Type")?.startsWith("application/json")) {
    return null;
  }
  const settings = await response.json();
  if (!settings) {
    return null;
  }
  await new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `https://www.google.com/recaptcha/enterprise.js?render=${encodeURIComponent(settings.site_key)}`;
    script.addEventListener("load", resolve);
    script.addEventListener("error", reject);
    document.head.append(script);
  });
  await new Promise((resolve) => grecaptcha.enterprise.ready(resolve));
  appToken.until = 0;
  return settings;
}

/** The header for a request. A token is used until shortly before its end; after a failure the next request tries again. */
export async function appCheckHeader() {
  try {
    loading ??= load();
    const settings = await loading;
    if (Date.now() >= appToken.until) {
      appToken = await newToken(settings);
    }
    return appToken.header;
  } catch (problem) {
    loading = undefined;
    throw problem;
  }
}

async function newToken(settings) {
  const proof = await grecaptcha.enterprise.execute(settings.site_key, { action: "fire_app_check" });
  const app = `projects/${settings.project_number}/apps/${settings.app_id}`;
  const response = await fetch(
    `https://firebaseappcheck.googleapis.com/v1/${app}:exchangeRecaptchaEnterpriseToken?key=${settings.api_key}`,
    {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ recaptcha_enterprise_token: proof }),
    },
  );
  if (!response.ok) {
    throw new Error(`App Check returned status ${response.status}.`);
  }
  const { token, ttl } = await response.json();
  return { header: { "X-Firebase-AppCheck": token }, until: Date.now() + 1000 * (parseFloat(ttl) - 60) };
}
