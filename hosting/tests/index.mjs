// All tests of the page, one after the other, with one local stack.

import "./bundle.mjs";
import "./flows.mjs";
import "./jobs.mjs";
import "./job.mjs";
import "./firebase.mjs";
import "./hub.mjs";
import "./problems.mjs";
import "./form.mjs";
import "./planning.mjs";
import "./repository.mjs";
import "./use.mjs";
import "./following.mjs";
import "./crowd.mjs";
import "./access.mjs";
